"""The rows of the image service."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from tiffin.core.tables import ENCRYPTED, Big, Id, LongText, Name, Table, Time


class ImageRow(Table):
    """An image's record. Its bytes are `BlobRow`s."""

    __tablename__ = "image"
    __table_args__ = (
        Index("image_owner", "owner", "created_at"),
        Index("image_visibility", "visibility", "created_at"),
        Index("image_created", "created_at", "id"),
        Index("image_name", "name"),
    )
    id: Mapped[Id] = mapped_column(primary_key=True)
    owner: Mapped[Name | None]  # a project id, or any word an administrator chose
    name: Mapped[Name | None]
    status: Mapped[str] = mapped_column(default="queued")
    visibility: Mapped[str] = mapped_column(default="shared")
    disk_format: Mapped[str | None]
    container_format: Mapped[str | None]
    size: Mapped[Big | None]  # bytes
    virtual_size: Mapped[Big | None]  # bytes
    min_disk: Mapped[int] = mapped_column(default=0)  # GiB
    min_ram: Mapped[int] = mapped_column(default=0)  # MiB
    protected: Mapped[bool] = mapped_column(default=False)
    os_hidden: Mapped[bool] = mapped_column(default=False)
    checksum: Mapped[str | None]  # MD5 in hexadecimal
    os_hash_algo: Mapped[str | None]
    os_hash_value: Mapped[str | None]
    stores: Mapped[list[str]] = mapped_column(default=list)  # where the bytes are, by name
    created_at: Mapped[Time]
    updated_at: Mapped[Time]
    tags: Mapped[list[str]] = mapped_column(default=list)
    properties: Mapped[dict[str, str | None]] = mapped_column(JSON, default=dict)

    @property
    def project_id(self) -> str | None:
        """The owner, as policy rules call it."""
        return self.owner


class BlobRow(Table):
    """Bytes in a store. The row is there before the first byte, and goes after the last: no byte without a row.

    `role`: "upload" (being written, by somebody who renews `expires`, into an image that waits for it), "copy" (being
    written for an image that does not wait for just these: into a further store, or by an import), "stage" (waits for its
    import), "data" (what the images at its `LocationRow`s are), "gone" (to be deleted).
    """

    __tablename__ = "image_blob"
    __table_args__ = (Index("image_blob_image", "image_id"), Index("image_blob_content", "sha512", "store"))
    id: Mapped[Id] = mapped_column(primary_key=True)  # the key in the store
    image_id: Mapped[Id] = mapped_column(ForeignKey("image.id"))  # whose lifecycle looks after the bytes
    store: Mapped[str]
    address: Mapped[LongText | None]  # where a store that we only read has it, instead of under a key of ours
    role: Mapped[str]
    owner: Mapped[Name]  # the process that writes an upload; see uploads.py
    expires: Mapped[Time]  # when an upload that was not renewed is dead
    size: Mapped[Big] = mapped_column(default=0)
    virtual_size: Mapped[Big | None]
    checksum: Mapped[str | None]
    sha512: Mapped[str | None]
    formats: Mapped[list[str]] = mapped_column(default=list)  # what inspection found in the bytes
    problem: Mapped[str | None]  # why the bytes are not safe, if they are not


class LocationRow(Table):
    """That an image is these bytes. Equal bytes are kept once in a store, so that several images may be the same."""

    __tablename__ = "image_location"
    image_id: Mapped[Id] = mapped_column(ForeignKey("image.id"), primary_key=True)
    blob_id: Mapped[Id] = mapped_column(ForeignKey("image_blob.id"), primary_key=True, index=True)
    position: Mapped[int] = mapped_column(default=0, server_default="0")  # among the locations, which clients put in order
    data: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict)  # what a client said of the location


class CacheQueueRow(Table):
    """An image that hosts are to have in their caches before anybody boots from it."""

    __tablename__ = "image_cache_queue"
    id: Mapped[Id] = mapped_column(primary_key=True)  # of its lifecycle
    image_id: Mapped[Id] = mapped_column(unique=True)
    queued_at: Mapped[Time]


class MemberRow(Table):
    """A project with which an image is shared."""

    __tablename__ = "image_member"
    __table_args__ = (Index("image_member_member", "member_id", "status"),)
    image_id: Mapped[Id] = mapped_column(ForeignKey("image.id"), primary_key=True)
    member_id: Mapped[Name] = mapped_column(primary_key=True)
    status: Mapped[str] = mapped_column(default="pending")
    created_at: Mapped[Time]
    updated_at: Mapped[Time]


class TaskRow(Table):
    """Long work that a client asked for. It has an `expires_at`, until which it is shown, when it has ended."""

    __tablename__ = "image_task"
    __table_args__ = (Index("image_task_image", "image_id"), Index("image_task_owner", "owner", "created_at"))
    id: Mapped[Id] = mapped_column(primary_key=True)
    type: Mapped[str]  # api_image_import; import and location_import are the old ways
    status: Mapped[str] = mapped_column(default="pending")
    owner: Mapped[Name | None]  # the project of who asked
    user_id: Mapped[Name | None]
    roles: Mapped[list[str]] = mapped_column(default=list)  # what they had then
    request_id: Mapped[Id]
    image_id: Mapped[Id | None]
    input: Mapped[dict[str, Any]] = mapped_column(default=dict)
    result: Mapped[dict[str, Any] | None]
    message: Mapped[LongText] = mapped_column(default="")
    secret: Mapped[bytes | None] = mapped_column(info=ENCRYPTED)  # what the import needs that nobody may see
    expires_at: Mapped[Time | None]
    created_at: Mapped[Time]
    updated_at: Mapped[Time]
