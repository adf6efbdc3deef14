"""What an operator may set about images."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tiffin.core.quota import Kept
from tiffin.services.image.import_names import METHODS, PLUGINS
from tiffin.services.image.web import WebRules

GIB = 1 << 30


class CacheSettings(msgspec.Struct, frozen=True):
    """The table [image.cache]: the images that hosts keep. Names and defaults are upstream's."""

    enabled: bool = True
    """Operators of clouds whose administrators shall not meddle with the caches: false closes `/v2/cache` (upstream does so
    where `image_cache_dir` is not set). The hosts keep their caches all the same."""
    image_cache_max_size: Annotated[int, Meta(ge=0)] = 10 * GIB
    """Operators with small or large disks: the bytes that the images of one host may take. Beyond, those go that have not
    been asked for the longest; never one on which a guest's disk stands."""
    image_cache_stall_time: Annotated[int, Meta(ge=0)] = 86_400
    """Operators: after how many seconds a download that nobody continues is swept up."""


class Conversion(msgspec.Struct, frozen=True):
    """The table [image.imports.image_conversion]: what the plug-in of that name makes of imported disks."""

    output_format: Literal["raw", "qcow2", "vmdk"] = "raw"
    """Operators whose stores or hypervisors want one format, such as raw for Ceph's copy-on-write clones."""


class Injection(msgspec.Struct, frozen=True):
    """The table [image.imports.inject_metadata_properties]: what the plug-in inject_image_metadata adds to imported images."""

    inject: dict[
        Annotated[str, Meta(min_length=1, max_length=255, pattern="^(?!os_glance)")],
        Annotated[str, Meta(max_length=65_535)],
    ] = {}
    """Operators: properties by name. Their values win over those that the image has."""
    ignore_user_roles: tuple[str, ...] = ("admin",)
    """Operators: the imports of users with one of these roles are left as they are."""


class Locations(msgspec.Struct, frozen=True):
    """`[image.imports.locations]`: what clients may see and say of where the bytes of images are, by upstream's option names."""

    show_image_direct_url: bool = False
    """The operator: whether images show `direct_url`, where another program finds their bytes."""
    show_multiple_locations: bool = False
    """The operator: whether images show `locations`, and may be given such by a patch. Only clients of old need that."""
    image_location_quota: int = 10
    """The operator: how many locations an image may have, -1 any number."""
    do_secure_hash: bool = True
    """The operator: whether the bytes at an address that a client adds are read once, for their digests to be known and held
    against the ones that were told. A server boots only from an image that has a digest."""


class Imports(msgspec.Struct, frozen=True):
    """`[image.imports]`: what imports may do, by upstream's option names."""

    enabled_import_methods: tuple[str, ...] = ("glance-direct", "web-download", "copy-image")
    """The operator: by which methods images may be imported, in the order in which clients are told of them."""
    image_import_plugins: tuple[str, ...] = ()
    """The operator: what is done with the bytes of every import, in this order (see import_parts.py)."""
    image_conversion: Conversion = Conversion()
    """The operator: what the plug-in of that name makes of disks."""
    inject_metadata_properties: Injection = Injection()
    """The operator: what the plug-in inject_image_metadata adds."""
    max_unpacked_bytes: Annotated[int, Meta(ge=0)] = 256 * GIB
    """The operator: how large a file a plug-in may make of an import. A few megabytes can be written so that they unpack, or
    convert, to any size."""
    task_time_to_live: int = 48
    """The operator: for how many hours a task is shown after it has ended."""
    extra_properties: tuple[str, ...] = ("hw_", "trait:", "os_distro", "os_secure_boot", "os_type")
    """The operator: what the names of properties begin with that `glance-download` takes over from another region."""
    locations: Locations = Locations()
    """The operator: what clients may see and say of where bytes are."""

    def __post_init__(self) -> None:
        """Raises ValueError for a method or a plug-in that there is not."""
        for named, known in ((self.enabled_import_methods, METHODS), (self.image_import_plugins, PLUGINS)):
            if unknown := set(named) - known.keys():
                raise ValueError(f"there is no {min(unknown)}; known: {', '.join(sorted(known))}")


Kind = Literal["file", "rbd", "http"]
StoreName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class Store(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[image.stores.NAME]`: a place that keeps the bytes of images, as its kind needs it."""

    kind: Kind
    """The operator: "file" is a folder, "rbd" a pool of a Ceph cluster, "http" addresses that clients give, read only."""
    description: Annotated[str, Meta(max_length=255)] = ""
    """The operator: what users are told of the store."""
    default: bool = False
    """The operator: whether bytes come here when nobody says where to. One of several stores must be the one."""
    staging: bool = False
    """The operator: whether bytes wait here for their import, and clients do not see the store. The default one unless said:
    then an import into it copies nothing."""
    weight: int = 0
    """The operator: of several stores that have an image, the heaviest is read, and named first."""
    folder: str = ""
    """The operator, for files: the absolute path of the folder in which a folder `tiffin-images` is made for them; nothing
    for the folder `images` of the cloud, which is the store `file` unless stores are set."""
    pool: str = ""
    """The operator, for RBD: the pool. Its images that are called `tiffin-...` are this cloud's."""
    user: str = "admin"
    """The operator, for RBD: the Ceph user without `client.`; its key is where ceph.conf says."""
    conf: str = "/etc/ceph/ceph.conf"
    """The operator, for RBD: how the cluster is found."""
    seconds: Annotated[int, Meta(ge=1, le=3600)] = 30
    """The operator, for RBD: how long the cluster may take to answer."""

    def __post_init__(self) -> None:
        if self.folder and not self.folder.startswith("/"):
            raise ValueError("the folder of a store is an absolute path, or not written: then it is the cloud's own")
        if self.kind == "rbd" and not self.pool:
            raise ValueError("a store in RBD needs its pool")
        if self.kind == "http" and (self.default or self.staging):
            raise ValueError("a store of the kind http is read only: it cannot be the default one, or for staging")


class PropertyProtection(msgspec.Struct, frozen=True):
    """`[image.property_protection]`: which properties of images only some may touch (see protections.py)."""

    file: str = ""
    """The operator: the file that says so, in HOME/policy (upstream's `property_protection_file`). Empty: there is none."""
    rule_format: Literal["roles", "policies"] = "roles"
    """The operator: what the file names, roles or rules of policy (upstream's `property_protection_rule_format`)."""


class Limits(msgspec.Struct, frozen=True):
    """`[image.limits]`: of one image; how many a project may have is a quota."""

    bytes: int = 1024 * GIB
    """The operator: the largest image that is accepted, in bytes (upstream's `image_size_cap`)."""
    virtual_bytes: int = 16 * 1024 * GIB
    """The operator: the largest disk, in bytes, that an image may claim to unfold to; more is a denial of service."""
    properties: int = 128
    """The operator: how many properties of its own an image may have, -1 any number (upstream's `image_property_quota`)."""
    tags: int = 128
    """The operator: how many tags an image may have, -1 any number (upstream's `image_tag_quota`)."""
    members: int = 128
    """The operator: with how many projects an image may be shared (upstream's `image_member_quota`)."""


class Settings(msgspec.Struct, frozen=True):
    limits: Limits = Limits()
    """The operator: how large and how many things may be."""
    cache: CacheSettings = CacheSettings()
    """The operator: the images that hosts keep."""
    quotas: Kept = "unified"
    """The operator: "unified" reads the limits that the identity service keeps (upstream's `use_keystone_limits`), which
    start with the defaults of `service.py`; "own": each project has those defaults, and none of its own."""
    property_protection: PropertyProtection = PropertyProtection()
    """The operator: which properties of images only some may touch."""
    imports: Imports = Imports()
    """The operator: what imports may do."""
    stores: dict[StoreName, Store] = {}
    """The operator: the stores by their names; none is one store `file`, in the folder of the cloud."""
    web: WebRules = WebRules()
    """The operator: what is read of the web, for tenants who name it (upstream's `[import_filtering_opts]`)."""

    def __post_init__(self) -> None:
        seen = [store for store in self.stores.values() if not store.staging]
        if self.stores and sum(store.default for store in seen) != 1:
            raise ValueError("one of the stores must be the default one: write `default = true` in its table")
        if len(self.stores) - len(seen) > 1:
            raise ValueError("only one store can be for staging")
        folders = [store.folder for store in self.stores.values() if store.kind == "file"]
        if len(set(folders)) < len(folders):
            raise ValueError("two stores of files have the same folder")
