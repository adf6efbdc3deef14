"""The rows of compute. What clients see of them is each resource's business."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, Text, false, text
from sqlalchemy.orm import Mapped, mapped_column

from tiffin.core.tables import ENCRYPTED, SECRET, Id, Table, Time

_NUMBER = BigInteger().with_variant(Integer, "sqlite")


BUSY = text("task_state IS NOT NULL")
"""A condition: that something is being done with a server. Those are few."""
ALIVE = text("deleted_at IS NULL")


class Server(Table):
    __tablename__ = "server"
    __table_args__ = (
        Index("server_of_project", "project_id", "deleted_at", "created_at"),
        Index("server_alive", "created_at", sqlite_where=ALIVE, postgresql_where=ALIVE),
        Index("server_on_host", "host", "deleted_at"),
        Index("server_changed", "updated_at"),
        Index("server_busy", "task_state", "host", sqlite_where=BUSY, postgresql_where=BUSY),
        {"sqlite_autoincrement": True},
    )
    number: Mapped[int] = mapped_column(_NUMBER, primary_key=True)
    id: Mapped[Id] = mapped_column(unique=True)
    project_id: Mapped[Id]
    user_id: Mapped[Id]
    name: Mapped[str]
    description: Mapped[str | None]
    hostname: Mapped[str]
    created_at: Mapped[Time]
    updated_at: Mapped[Time]
    launched_at: Mapped[Time | None]
    terminated_at: Mapped[Time | None]
    deleted_at: Mapped[Time | None]

    vm_state: Mapped[str]
    task_state: Mapped[str | None]
    power_state: Mapped[int] = mapped_column(default=0)
    progress: Mapped[int] = mapped_column(default=0)
    fault: Mapped[dict[str, Any] | None]  # code, message, details, created
    host: Mapped[str | None]
    node: Mapped[str | None]
    availability_zone: Mapped[str | None]
    pinned_zone: Mapped[str | None]
    forced_host: Mapped[str | None]

    flavor: Mapped[dict[str, Any]]  # as it was when the server was made
    vcpus: Mapped[int]
    memory_mb: Mapped[int]
    root_gb: Mapped[int]
    ephemeral_gb: Mapped[int]
    swap_mb: Mapped[int]
    image_id: Mapped[Id | None]
    image: Mapped[dict[str, Any]]  # public.BootImage as it was
    kernel: Mapped[dict[str, Any] | None]
    ramdisk: Mapped[dict[str, Any] | None]

    key: Mapped[dict[str, Any] | None]  # name, type, data
    key_name: Mapped[str | None]
    user_data: Mapped[str | None] = mapped_column(Text, info=SECRET)  # base64
    files: Mapped[list[Any] | None] = mapped_column(info=SECRET)  # path, contents (base64)
    admin_password: Mapped[bytes | None] = mapped_column(info=ENCRYPTED)  # encrypted; only until a config drive has it
    guest_password: Mapped[str | None] = mapped_column(Text, info=SECRET)  # encrypted by the guest for its user
    config_drive: Mapped[bool]
    meta: Mapped[dict[str, str]]
    disk_config: Mapped[str]
    access_ip_v4: Mapped[str | None]
    access_ip_v6: Mapped[str | None]
    locked_by: Mapped[str | None]
    locked_reason: Mapped[str | None]
    reservation_id: Mapped[str]
    launch_index: Mapped[int]
    scheduler_hints: Mapped[dict[str, Any]]
    trusted_certificates: Mapped[list[str] | None]
    group_id: Mapped[Id | None] = mapped_column(index=True)


class ServerNic(Table):
    """A port of a server, and whether it goes when the server goes."""

    __tablename__ = "server_nic"
    port_id: Mapped[Id] = mapped_column(primary_key=True)
    server_id: Mapped[Id] = mapped_column(index=True)
    network_id: Mapped[Id] = mapped_column(index=True)
    position: Mapped[int]
    ours: Mapped[bool]  # made with the server, deleted with it
    tag: Mapped[str | None]


class ServerTag(Table):
    __tablename__ = "server_tag"
    server_id: Mapped[Id] = mapped_column(primary_key=True)
    tag: Mapped[str] = mapped_column(primary_key=True, index=True)


class ServerAction(Table):
    """What was asked of a server, by which request, and how it ended."""

    __tablename__ = "server_action"
    __table_args__ = (Index("server_action_of", "server_id", "request_id"), {"sqlite_autoincrement": True})
    number: Mapped[int] = mapped_column(_NUMBER, primary_key=True)
    server_id: Mapped[Id]
    project_id: Mapped[Id]
    user_id: Mapped[Id]
    request_id: Mapped[Id]
    action: Mapped[str]
    event: Mapped[str | None]
    started_at: Mapped[Time]
    updated_at: Mapped[Time]
    finished_at: Mapped[Time | None]
    result: Mapped[str | None]  # Success, Error
    host: Mapped[str | None]
    details: Mapped[str | None] = mapped_column(Text)


class ComputeHost(Table):
    """A host that runs guests: the service and the hypervisor of upstream in one, and the provider in placement."""

    __tablename__ = "compute_host"
    __table_args__ = ({"sqlite_autoincrement": True},)
    number: Mapped[int] = mapped_column(_NUMBER, primary_key=True)
    id: Mapped[Id] = mapped_column(unique=True)
    service_id: Mapped[Id] = mapped_column(unique=True)
    name: Mapped[str] = mapped_column(unique=True)
    hostname: Mapped[str]
    facts: Mapped[dict[str, Any]]
    created_at: Mapped[Time]
    seen_at: Mapped[Time]
    disabled: Mapped[bool] = mapped_column(default=False)
    disabled_reason: Mapped[str | None]
    maintenance: Mapped[str | None]  # it is being emptied: live, or cold where that does not do (maintenance.py)
    forced_down: Mapped[bool] = mapped_column(default=False)
    hypervisor_version: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")  # of the facts
    failed_builds: Mapped[int] = mapped_column(default=0, server_default="0")  # since the last good one


class Migration(Table):
    """A server's way from one host (and flavor) to another."""

    __tablename__ = "migration"
    __table_args__ = (
        Index("migration_of_server", "server_id", "settled"),
        Index("migration_created", "created_at"),
        {"sqlite_autoincrement": True},
    )
    number: Mapped[int] = mapped_column(_NUMBER, primary_key=True)
    id: Mapped[Id] = mapped_column(unique=True)  # also the consumer in placement of what the server has left behind
    server_id: Mapped[Id]
    project_id: Mapped[Id]  # of who asked for it
    user_id: Mapped[Id]
    kind: Mapped[str]  # resize, migration, evacuation, live-migration
    status: Mapped[str]
    source: Mapped[str]
    source_node: Mapped[str | None]
    source_zone: Mapped[str | None]
    dest: Mapped[str | None]
    dest_node: Mapped[str | None]
    dest_zone: Mapped[str | None]
    old_size: Mapped[dict[str, Any]]  # columns of the server: flavor, vcpus, memory_mb, root_gb, ephemeral_gb, swap_mb
    new_size: Mapped[dict[str, Any]]
    old_vm_state: Mapped[str]
    created_at: Mapped[Time]
    updated_at: Mapped[Time | None]
    settled: Mapped[bool] = mapped_column(default=False)  # nothing of the server is promised on any other host
    request_id: Mapped[Id | None]  # by which it was asked for: the one of its instance action
    emptying: Mapped[bool] = mapped_column(default=False, server_default=false())  # its source: it confirms itself
    wish: Mapped[str | None]  # of who does not let a live migration take its time: abort, complete
    progress: Mapped[dict[str, Any] | None]  # of a live migration: drivers.departure.Progress


class HostToken(Table):
    """Lets one machine join. What is kept cannot be used: a digest of the secret."""

    __tablename__ = "host_token"
    digest: Mapped[Id] = mapped_column(primary_key=True)
    host: Mapped[str | None]  # the only name that may join with it; any, if none
    created_at: Mapped[Time]
    expires_at: Mapped[Time]
    used_by: Mapped[str | None]  # the host that joined; with the same key it may ask again, if the answer was lost


class HostAgent(Table):
    """A machine that has joined: how its agent is reached, and by which key it is known."""

    __tablename__ = "host_agent"
    name: Mapped[str] = mapped_column(primary_key=True)
    address: Mapped[str]  # HOST:PORT
    key_digest: Mapped[Id]  # SHA-256 of its public key
    joined_at: Mapped[Time]
    certified_at: Mapped[Time]


class Controller(Table):
    """A controller, as the others of its cloud and the agents of hosts reach it."""

    __tablename__ = "controller"
    name: Mapped[str] = mapped_column(primary_key=True)
    node: Mapped[str]  # its engine's
    address: Mapped[str]  # HOST:PORT of its door; empty: it has none
    network: Mapped[str]  # HOST:PORT of the controller that runs the networks; empty: this one does
    hosts: Mapped[list[str]] = mapped_column(JSON)  # which it reaches in its own process


class Aggregate(Table):
    __tablename__ = "aggregate"
    __table_args__ = ({"sqlite_autoincrement": True},)
    number: Mapped[int] = mapped_column(_NUMBER, primary_key=True)
    id: Mapped[Id] = mapped_column(unique=True)
    name: Mapped[str] = mapped_column(unique=True)
    availability_zone: Mapped[str | None]
    meta: Mapped[dict[str, str]]
    created_at: Mapped[Time]
    updated_at: Mapped[Time | None]


class AggregateHost(Table):
    __tablename__ = "aggregate_host"
    aggregate: Mapped[int] = mapped_column(
        _NUMBER, ForeignKey("aggregate.number", ondelete="CASCADE"), primary_key=True
    )
    host: Mapped[str] = mapped_column(primary_key=True)


class ServerGroup(Table):
    __tablename__ = "server_group"
    id: Mapped[Id] = mapped_column(primary_key=True)
    project_id: Mapped[Id] = mapped_column(index=True)
    user_id: Mapped[Id]
    name: Mapped[str]
    policy: Mapped[str]
    per_host: Mapped[int | None]  # rules.max_server_per_host
    created_at: Mapped[Time]
