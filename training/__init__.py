"""Quality back after decomposition: label-free recovery, the user's own training, freezing."""
