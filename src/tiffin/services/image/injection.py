"""The import plug-in that gives images the operator's properties."""

from __future__ import annotations

from tiffin.services.image.import_parts import Facts
from tiffin.services.image.settings import Settings


class InjectImageMetadata:
    """Implements `import_parts.Injection`."""

    name = "inject_image_metadata"

    def properties(self, facts: Facts, settings: Settings) -> dict[str, str]:
        told = settings.imports.inject_metadata_properties
        return {} if set(facts.roles).intersection(told.ignore_user_roles) else dict(told.inject)


injection = InjectImageMetadata()
