"""Whole networks timed against the original, at inference and in training."""
