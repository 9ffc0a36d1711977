"""The search for a plan: its problem, its constraints, and the steps that solve it."""
