"""Torch modules seen as layers: what they multiply with, and equal ones made of layers."""
