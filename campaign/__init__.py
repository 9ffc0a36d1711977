"""Measuring a network layer by layer on one device: the set-up, what is missing, its rows."""
