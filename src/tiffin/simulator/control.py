"""How people make trouble in a simulated cloud that runs, or move its time (`tiffin simulator`)."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import msgspec

from tiffin.core.channel import Wrong
from tiffin.simulator.data_centre import ANY, DataCentre

MOST_TIMES, MOST_SECONDS = 1000, 10 * 365.0 * 86_400
CALLS = (
    "ensure_image", "ensure_disks", "ensure_config_drive", "ensure_running", "ensure_paused", "ensure_stopped",
    "ensure_rebooted", "ensure_nic", "forget_nic", "ensure_snapshot", "forget_guest", "prefetch_image",
)  # fmt: skip
"""What can be told to fail."""
SEE = "see `./tiffin simulator --help`."
Moved = Callable[[float], None]
"""Told after time was moved on, by how much it is ahead now."""


class Control:
    def __init__(self, centre: DataCentre, moved: Moved) -> None:
        self._centre, self._moved = centre, moved

    def do(self, words: list[str]) -> str:
        """Do what the words say; what to tell. Raises `Wrong`."""
        commands: dict[str, Callable[..., str]] = {
            "show": self._show, "set": self._set, "fail": self._fail, "cut": self._cut, "mend": self._mend,
            "crash": self._crash, "advance": self._advance,
        }  # fmt: skip
        if not words or words[0] not in commands:
            raise Wrong(f"the first word is one of {', '.join(commands)}; {SEE}")
        command, rest = commands[words[0]], words[1:]
        try:
            inspect.signature(command).bind(*rest)
        except TypeError:
            raise Wrong(f"`{words[0]}` takes other words; {SEE}") from None
        return command(*rest)

    def _show(self) -> str:
        centre = self._centre
        timing = {f"{name}-seconds": value for name, value in msgspec.structs.asdict(centre.timing).items()}
        waiting = [
            {"host": host, "call": call, "times": len(left)}
            for host, troubles in sorted(centre.troubles.items())
            for (call, _), left in troubles.waiting.items()
            if left
        ]
        told = {
            **timing,
            "ahead-seconds": centre.clock.ahead,
            "hosts": len(centre.worlds),
            "guests": sum(len(world.guests) for world in centre.worlds.values()),
            "cut": sorted(centre.cut),
            "fail": waiting,
        }
        return msgspec.json.format(msgspec.json.encode(told)).decode()

    def _set(self, name: str, value: str) -> str:
        field = name.removesuffix("-seconds")
        if field not in self._centre.timing.__struct_fields__ or field == name:
            raise Wrong(f"there is no {name[:40]!r} to set; {SEE}")
        setattr(self._centre.timing, field, _seconds(value))
        return f"{name} is {value}."

    def _fail(self, host: str, call: str, times: str = "1", good: str = "") -> str:
        if call not in CALLS:
            raise Wrong(f"there is no call {call[:40]!r}; known: {', '.join(CALLS)}.")
        if good not in ("", "times", "for-good"):
            raise Wrong(f"{good[:40]!r} cannot be meant; {SEE}")
        if not times.isdecimal() or not 1 <= int(times[:9]) <= MOST_TIMES:
            raise Wrong(f"{times[:40]!r} is no number from 1 to {MOST_TIMES}.")
        self._centre.fail(self._host(host, any_too=True), call, int(times), for_good=good == "for-good")
        return f"The next {times} calls of {call} on {host} fail."

    def _cut(self, host: str) -> str:
        self._centre.cut.add(self._host(host))
        return f"{host} does not answer from now on."

    def _mend(self, host: str) -> str:
        self._centre.cut.discard(self._host(host))
        return f"{host} answers again."

    def _crash(self, server: str) -> str:
        if not self._centre.crash(server):
            raise Wrong(f"no host has a guest {server[:64]!r}.")
        return f"The guest {server} died."

    def _advance(self, value: str) -> str:
        self._centre.clock.advance(_seconds(value))
        self._moved(self._centre.clock.ahead)
        return f"It is {value} seconds later."

    def _host(self, name: str, *, any_too: bool = False) -> str:
        if name not in self._centre.worlds and not (any_too and name == ANY):
            raise Wrong(f"there is no host {name[:64]!r}.")
        return name


def _seconds(value: str) -> float:
    try:
        found = float(value)
    except ValueError:
        found = -1.0
    if not 0 <= found <= MOST_SECONDS:
        raise Wrong(f"{value[:40]!r} is no number of seconds.")
    return found
