"""Where the methods and the plug-ins of imports are: what settings may name."""

from __future__ import annotations

METHODS: dict[str, str] = {
    "glance-direct": "tiffin.services.image.methods:glance_direct",
    "web-download": "tiffin.services.image.import_web:web_download",
    "copy-image": "tiffin.services.image.methods:copy_image",
    "glance-download": "tiffin.services.image.import_glance:glance_download",
}
"""Import methods by the names that clients use -> "module:attribute" of a `Method`."""

PLUGINS: dict[str, str] = {
    "image_decompression": "tiffin.services.image.decompression:decompression",
    "image_conversion": "tiffin.services.image.conversion:conversion",
    "inject_image_metadata": "tiffin.services.image.injection:injection",
}
"""Import plug-ins by upstream's names -> "module:attribute" of a `Transform` or an `Injection`; they run in the order in which
the operator lists them."""
