"""The tables of a cloud on which every import and every store is at hand."""

from __future__ import annotations

STORES = """
[image.imports]
enabled_import_methods = ["glance-direct", "web-download", "copy-image", "glance-download"]

[image.web]
allowed_hosts = ["127.0.0.1"]
allowed_ports = [{port}]

[image.stores.archive]
kind = "file"
folder = "{folder}"

[image.stores.file]
kind = "file"
default = true
"""
WEB = """
[image.stores.web]
kind = "http"
"""
