"""Operations by what tells them apart: the method, and the path without the names of its fields."""

from __future__ import annotations

import re


def shape(method: str, path: str) -> str:
    return f"{method} {re.sub(r'{[^}]*}', '{}', path)}"
