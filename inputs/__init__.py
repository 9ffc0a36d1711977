"""What networks take: their inputs by name, examples of these, and how modules are called."""
