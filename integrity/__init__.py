"""What a network is, and whether a file of it is right."""
