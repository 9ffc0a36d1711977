"""What to measure, how long, and the process that does it. Nothing here knows the store."""
