"""The story on the simulator, told twice: with the command line client and with openstacksdk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import sdk_story
import story
from running_cloud import RunningCloud, running_cloud
from world import assert_becomes, processes_of, world


@pytest.fixture(scope="module")
def cloud() -> Iterator[RunningCloud]:
    with running_cloud(simulated=True) as cloud:
        yield cloud


def test_story_by_the_command_line_client(cloud: RunningCloud, tmp_path: Path) -> None:
    before = world(cloud)
    with cloud.openstack() as openstack:
        story.look_around(openstack)
        story.make_key(openstack, tmp_path)
        story.make_network(openstack)
        story.make_security_groups(openstack)
        story.boot_first(openstack, tmp_path)
        floating = story.give_floating_address(openstack, story.FIRST)
        assert f"{story.FIRST} login:" in openstack(f"console log show {story.FIRST}")
        story.boot_second(openstack)
        story.open_second_for_first(openstack)
        story.stop_and_start(openstack, story.FIRST)
        story.reboot(openstack, story.FIRST, "soft")
        story.reboot(openstack, story.FIRST, "hard")
        story.pause_and_unpause(openstack, story.FIRST)
        story.snapshot(openstack, story.FIRST)
        story.boot_third(openstack)
        story.rename(openstack, story.FIRST)
        story.delete_everything(openstack, floating)
    assert_becomes(lambda: world(cloud), before)


def test_story_by_the_sdk(cloud: RunningCloud) -> None:
    before = world(cloud)
    with cloud.connect() as connection:
        sdk_story.whole_story(connection)
    assert_becomes(lambda: world(cloud), before)


def test_up_twice_changes_nothing_and_down_leaves_no_process() -> None:
    with running_cloud(simulated=True) as cloud:
        before = world(cloud)
        cloud.tiffin("up", "--simulated", "--listen", cloud.address)
        assert world(cloud) == before
        cloud.tiffin("down")
        assert processes_of(cloud.home) == []
        cloud.tiffin("up")
        assert world(cloud) == before
