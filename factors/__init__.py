"""Factors of layers: made from weights or pictures, cached, and put into a network by a plan."""
