"""Who may do what: print the sample of a service's policy file, or check the files in HOME/policy."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Any, cast

from tiffin.cli.cloud import home_of
from tiffin.cli.errors import CliError
from tiffin.cli.status import SERVICES
from tiffin.core import policy_file
from tiffin.core.service import Service
from tiffin.core.settings import SettingsError, load


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("sample", "check"), help="sample: every rule with its default; check: what is wrong")
    parser.add_argument("service", nargs="?", choices=SERVICES, help="which one; `check` looks at all of them without")


def run(options: argparse.Namespace) -> int:
    if options.what == "check":
        return check(home_of(options.home), (options.service,) if options.service else SERVICES)
    if options.service is None:
        raise CliError("say of which service: `./tiffin policy sample identity`.")
    print(policy_file.sample(service(options.service)), end="")
    return 0


def service(type: str) -> Service:
    return cast(Service, importlib.import_module(f"tiffin.services.{type}.service").service)


def check(home: Path, services: tuple[str, ...]) -> int:
    """Say what is wrong with the files of these services. Gives the exit code."""
    folder = home / "policy"
    wrong, files, protections = 0, sorted(folder.glob("*")), _protections(home)
    mistakes, asked = _mistakes(folder, protections)
    if not files:
        print(f"There is no file in {folder}: the defaults hold.")
    for file in files:
        protects = file.name == protections.file
        if not protects and (file.name.removesuffix(".yaml") not in SERVICES or file.suffix != ".yaml"):
            print(f"{file}: no service reads it; the names are {', '.join(f'{name}.yaml' for name in SERVICES)}.")
            wrong += 1
        elif protects or file.stem in services:
            found = mistakes if protects else _problems(file, asked)
            print("\n".join(f"{file}: {problem}" for problem in found or ["works as it says."]))
            wrong += len(found)
    return 1 if wrong else 0


def _protections(home: Path) -> Any:
    """What the operator set about properties of images; it names a file that lies beside those of policy."""
    return load(home).section("image", type(service("image").settings)).property_protection


def _mistakes(folder: Path, protections: Any) -> tuple[list[str], frozenset[str]]:
    """What is wrong with the file of protections, and the rules of `image.yaml` that it asks for."""
    try:
        found = importlib.import_module("tiffin.services.image.protections").load(folder, protections)
    except SettingsError as error:
        return [str(error)], frozenset()
    return [], found.rules() if found is not None else frozenset()


def _problems(file: Path, asked: frozenset[str]) -> list[str]:
    own = asked if file.stem == "image" else frozenset()
    try:
        return policy_file.problems(dict(service(file.stem).all_rules()), file.read_text(), own)
    except (policy_file.PolicyFileError, UnicodeDecodeError) as error:
        return [f"it is not used at all. {error}"]
