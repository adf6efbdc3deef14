"""An import from the web, killed, refused, deleted and outrun at every point; the server is a real one."""

from __future__ import annotations

import atexit
from typing import Any, ClassVar

import msgspec

from lifecycles import test_image_import as imports
from lifecycles.harness import Fate, crash_tests
from web_servers import WebServer, pages

SERVER = WebServer(pages(image=imports.DATA))
atexit.register(SERVER.close)  # the points are counted when this module is imported


class WebImportTrial(imports.ImportTrial):
    """Bytes come over HTTP to where they wait, and go to a store from there."""

    asked: ClassVar[dict[str, Any]] = {
        "method": {"name": "web-download", "uri": f"{SERVER.url}/image"}, "stores": ["b"]
    }  # fmt: skip
    stores = "b"

    def __init__(self, fate: Fate) -> None:
        self.cloud = imports.StoresCloud(fate, image={"web": msgspec.to_builtins(SERVER.rules())})
        self.id = self.cloud.make()["id"]


TestWebImport = crash_tests(WebImportTrial)
