"""`python -m rankwise`."""

from .cli import main

main()
