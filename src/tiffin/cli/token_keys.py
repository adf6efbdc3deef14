"""Show or rotate the keys of tokens, or print the public ones, by which others can verify signed tokens. Logins go on
meanwhile, whether the cloud runs or not: a running one sees new keys at once. Tokens of a key are valid until that key is
dropped, so rotate no more often than tokens end."""

from __future__ import annotations

import argparse

from tiffin.cli.cloud import open_cloud
from tiffin.cli.errors import CliError
from tiffin.services.identity.keys import Keys, SigningKeys
from tiffin.services.identity.settings import IdentitySettings

KINDS: dict[str, type[Keys] | type[SigningKeys]] = {"fernet": Keys, "jws": SigningKeys}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "rotate", "public"), help="show, let the staged key write, print")
    parser.add_argument("--keep", type=int, metavar="N", help="how many keys stay (default: identity.keep_keys, 3)")


def run(options: argparse.Namespace) -> int:
    cloud = open_cloud(options.home)
    keep = cloud.settings.section("identity", IdentitySettings).keep_keys if options.keep is None else options.keep
    if keep < 2:
        raise CliError("--keep must be at least 2: one key writes, and one waits to become the next.")
    if options.action == "public":
        print(*SigningKeys(cloud.folder.keys).public(), sep="", end="")
        return 0
    for kind, keys in KINDS.items():
        repository = keys(cloud.folder.keys).repository
        states = repository.states()
        if states and options.action == "rotate":
            repository.rotate(keep)
            states = repository.states()
        for state in states:
            print(f"{kind:<7} {state.number:<4} {state.role}")
    return 0
