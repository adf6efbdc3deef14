"""What an operator may set of identity."""

from __future__ import annotations

import msgspec


class IdentitySettings(msgspec.Struct, frozen=True):
    token_seconds: int = 3600
    """How long a token is valid. Operators shorten it where tokens may leak, and lengthen it for long uploads."""
    password_rounds: int = 12
    """The cost of a password hash: each step doubles it (12: a quarter of a second on a small machine)."""
    remember_seconds: float = 300.0
    """How long a process remembers that a password was right, so that the next login need not hash. 0: never."""
    keep_keys: int = 3
    """How many token keys stay after a rotation; tokens of an older key end with it."""
    signed_tokens: bool = False
    """Whether new tokens are signed (JWS, ES256), so that others can read and verify them by the public key, instead of
    encrypted (Fernet), which is shorter. Tokens of both kinds are valid whatever is set."""
    rescope_scoped_tokens: bool = True
    """Whether a token of a project or a domain can be exchanged for one of another scope. Operators who want passwords to
    be asked again for that say no."""
    trust_remote_user: bool = False
    """Whether REMOTE_USER (and REMOTE_DOMAIN, a domain's name) of the WSGI environment logs that user in. Only for who
    runs the application in a WSGI server that authenticates by itself; no header of a client ever counts."""
