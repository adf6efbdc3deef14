"""The front door of the image service (Glance)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tiffin.core.quota import Owners, Quota
from tiffin.core.service import Service
from tiffin.services.image.dialect import ImageDialect
from tiffin.services.image.lifecycles.cache import CacheLife
from tiffin.services.image.lifecycles.image import ImageLife
from tiffin.services.image.lifecycles.location import LocationLife
from tiffin.services.image.lifecycles.task import TaskLife
from tiffin.services.image.metadefs import RULES as METADEF_RULES
from tiffin.services.image.reconcilers import end_dead_uploads, forget_orphans, keep_caches, keep_own_caches
from tiffin.services.image.resources.cache import cache
from tiffin.services.image.resources.data import data
from tiffin.services.image.resources.images import images
from tiffin.services.image.resources.imports import imports
from tiffin.services.image.resources.info import info, versions
from tiffin.services.image.resources.locations import image_locations
from tiffin.services.image.resources.members import members
from tiffin.services.image.resources.metadef_namespaces import namespaces
from tiffin.services.image.resources.metadef_objects import objects
from tiffin.services.image.resources.metadef_properties import properties
from tiffin.services.image.resources.metadef_resource_types import associations, resource_types
from tiffin.services.image.resources.metadef_schemas import metadef_schemas
from tiffin.services.image.resources.metadef_tags import tags
from tiffin.services.image.resources.schemas import schemas
from tiffin.services.image.resources.stores import copies
from tiffin.services.image.resources.tasks import image_tasks, task_schemas, tasks
from tiffin.services.image.settings import Settings
from tiffin.services.image.tables import BlobRow, ImageRow
from tiffin.services.image.uploads import MIB

METADEFS = (namespaces, objects, properties, tags, resource_types, associations, metadef_schemas)
BASE_RULES = (("default", ""), ("context_is_admin", "role:admin"), ("service_api", "role:service or role:admin"), *METADEF_RULES)
"""What other rules refer to; only these are for tokens of any scope."""
IN_USE = ImageRow.status != "deleted"


def _of(owners: Owners) -> Any:
    return ImageRow.owner.in_([owners] if isinstance(owners, str) else owners)


def _count(session: Session, project_id: Owners) -> int:
    return session.scalar(select(func.count()).select_from(ImageRow).where(_of(project_id), IN_USE)) or 0


def _uploading(session: Session, project_id: Owners) -> int:
    busy = ImageRow.status.in_(("saving", "uploading", "importing"))
    return session.scalar(select(func.count()).select_from(ImageRow).where(_of(project_id), busy)) or 0


def _mebibytes(total: Any, session: Session) -> int:
    return -(-int(session.scalar(total) or 0) // MIB)


def _size(session: Session, project_id: Owners) -> int:
    return _mebibytes(select(func.sum(ImageRow.size)).where(_of(project_id), IN_USE), session)


def _staged(session: Session, project_id: Owners) -> int:
    staged = select(func.sum(BlobRow.size)).join(ImageRow, ImageRow.id == BlobRow.image_id)
    return _mebibytes(staged.where(_of(project_id), IN_USE, BlobRow.role == "stage"), session)


service = Service(
    type="image",
    name="glance",
    prefix="/image",
    api="",  # clients of the image API add /v2 themselves
    dialect=ImageDialect(),
    resources=(
        *(versions, images, data, imports, members, image_locations, tasks, image_tasks, info, copies, schemas),
        *(task_schemas, cache, *METADEFS),
    ),
    lifecycles=(ImageLife, TaskLife, LocationLife, CacheLife),
    lookouts=(keep_own_caches,),
    reconcilers=(end_dead_uploads, forget_orphans, keep_caches),
    rules=BASE_RULES,
    scopes=lambda rule: None if rule in dict(BASE_RULES) else ("project",),
    quotas={
        # upstream's names; sizes in MiB
        "image_size_total": Quota("image_size_total", 1 << 20, _size),
        "image_stage_total": Quota("image_stage_total", 1 << 20, _staged),
        "image_count_total": Quota("image_count_total", 1000, _count),
        "image_count_uploading": Quota("image_count_uploading", 20, _uploading),
    },
    settings=Settings(),
)
