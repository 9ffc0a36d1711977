"""The version of rankwise, below everything that writes it down."""

__version__ = "0.2.0"
