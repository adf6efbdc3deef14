"""Let the administrator in again who is locked out: have the first roles and what they imply, the administrator's account
with the password of clouds.yaml, and the grants on the project admin and on the system. The cloud may run or not."""

from __future__ import annotations

import argparse

from tiffin.cli.cloud import open_cloud


def arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing but --home."""


def run(options: argparse.Namespace) -> int:
    cloud = open_cloud(options.home)
    from tiffin.bootstrap import let_admin_in

    for sentence in let_admin_in(cloud.settings) or ["Nothing was amiss."]:
        print(sentence)
    return 0
