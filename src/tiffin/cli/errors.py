"""What the command line says when it cannot do what was asked."""

from __future__ import annotations

from typing import Any


class CliError(Exception):
    """One sentence for the person at the keyboard: what is wrong and what to do."""


def told(do: Any, *args: Any) -> Any:
    """What it gives; a refusal is told to the person who asked."""
    from tiffin.core.errors import Fault

    try:
        return do(*args)
    except Fault as no:
        raise CliError(no.message) from no
