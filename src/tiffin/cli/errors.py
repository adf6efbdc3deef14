"""What the command line says when it cannot do what was asked."""

from __future__ import annotations


class CliError(Exception):
    """One sentence for the person at the keyboard: what is wrong and what to do."""
