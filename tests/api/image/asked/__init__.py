"""The rows of `personas.py`, by topic."""
