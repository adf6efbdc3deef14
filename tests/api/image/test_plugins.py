"""What import plug-ins make of files: unpacked, converted, and given properties."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import struct
import subprocess
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tiffin.core.driver import Impossible, Refused
from tiffin.services.image import import_parts
from tiffin.services.image.import_parts import Changed, Facts, Transform
from tiffin.services.image.inspection import Findings, Inspection
from tiffin.services.image.settings import Conversion, Imports, Injection, Settings

from .test_cves import MORE
from .test_hostile import BAD, GOOD, descriptor, qcow2, vmdk

HOSTILE = {**BAD, **MORE}

DATA = bytes(range(256)) * 5000 + bytes(3 << 20) + b"the end"


def settings(*plugins: str, **more: Any) -> Settings:
    return Settings(imports=Imports(image_import_plugins=plugins, **more))


UNPACK = "image_decompression"
CONVERT = "image_conversion"
INJECT = "inject_image_metadata"


def inspected(data: bytes, disk_format: str) -> Findings:
    inspection = Inspection(disk_format)
    for _ in inspection.watch(iter([data])):
        pass
    return inspection.findings()


def facts(data: bytes, disk_format: str = "raw", container_format: str = "bare", **more: Any) -> Facts:
    values: dict[str, Any] = {"owner": "p1", "properties": {}, "stores": ("file",), "user_id": "u1", "project_id": "p1"}
    values |= {"roles": ("member",), "found": inspected(data, disk_format), **more}
    return Facts("image-1", "task-1", disk_format=disk_format, container_format=container_format, **values)


class Desk:
    """A private folder, and a plug-in to try on it."""

    def __init__(self, folder: Path, name: str) -> None:
        (self.plugin,) = import_parts.transforms(settings(name))
        self.source, self.target = folder / "source", folder / "target"

    def run(self, data: bytes, about: Facts | None = None, options: Settings | None = None) -> Changed:
        self.source.write_bytes(data)
        before = self.source.stat()
        try:
            return self.plugin.run(self.source, self.target, about or facts(data), options or settings())
        finally:
            after = self.source.stat()
            assert (after.st_mode, after.st_uid, self.source.read_bytes()) == (before.st_mode, before.st_uid, data)
            assert {path.name for path in self.source.parent.iterdir()} <= {"source", "target"}


@pytest.fixture
def unpack(tmp_path: Path) -> Desk:
    return Desk(tmp_path, UNPACK)


@pytest.fixture
def convert(tmp_path: Path) -> Desk:
    return Desk(tmp_path, CONVERT)


def test_plugins_are_found_by_name_and_run_in_order() -> None:
    chosen = settings(CONVERT, INJECT, UNPACK)
    found: list[Transform] = import_parts.transforms(chosen)
    assert [plugin.name for plugin in found] == [CONVERT, UNPACK]
    assert [plugin.name for plugin in import_parts.injections(chosen)] == [INJECT]


# --- unpacking ----------------------------------------------------------------------------------------------------------


def zip_of(data: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("disk.img", data)
    return out.getvalue()


def streamed_zip(data: bytes, wide: bool = False) -> bytes:
    """As a program writes it that cannot go back: sizes follow the data."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.got = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.got += bytes(data)
            return len(data)

    pipe = Pipe()
    with (
        zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("disk", "w", force_zip64=wide) as file,
    ):
        file.write(data)
    return bytes(pipe.got)


PACKED = {
    "gzip": gzip.compress(DATA),
    "gzip-of-two-parts": gzip.compress(DATA[:1000]) + gzip.compress(DATA[1000:]),
    "gzip-with-a-part-of-nothing": gzip.compress(b"") + gzip.compress(DATA),
    "gzip-padded": gzip.compress(DATA) + bytes(5000),
    "zip": zip_of(DATA),
    "zip-stored": zip_of(DATA, zipfile.ZIP_STORED),
    "zip-streamed": streamed_zip(DATA),
    "zip-streamed-wide": streamed_zip(DATA, wide=True),
}


@pytest.mark.parametrize("name", PACKED)
def test_what_is_packed_is_unpacked(unpack: Desk, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for piece in (1 << 20, 777):
        monkeypatch.setattr("tiffin.services.image.decompression.CHUNK", piece)
        about = facts(PACKED[name], "qcow2")
        assert unpack.plugin.wanted(about, settings())
        assert unpack.run(PACKED[name], about) == Changed("qcow2", "bare")
        assert unpack.target.read_bytes() == DATA
        unpack.target.unlink()


@pytest.mark.parametrize("data", [b"", b"PK", b"an ordinary disk", bytes(5000), b"\x1f\x8b\x07 is no gzip"])
def test_what_is_not_packed_stays(unpack: Desk, data: bytes) -> None:
    unpack.run(data)
    assert unpack.target.read_bytes() == data


def test_what_is_meant_to_be_compressed_is_not_unpacked(unpack: Desk) -> None:
    assert not unpack.plugin.wanted(facts(PACKED["gzip"], "qcow2", "compressed"), settings())


def test_a_known_format_is_not_unpacked(unpack: Desk) -> None:
    assert not unpack.plugin.wanted(facts(qcow2(), "qcow2"), settings())


DAMAGED = {
    "gzip-cut-off": (gzip.compress(DATA)[:-9], "too early"),
    "gzip-with-no-data": (gzip.compress(DATA)[:12], "too early"),
    "gzip-with-a-wrong-checksum": (gzip.compress(DATA)[:-8] + bytes(4) + gzip.compress(DATA)[-4:], "damaged"),
    "gzip-and-something-else": (gzip.compress(DATA) + b"#!/bin/sh", "damaged"),
    "gzip-with-an-endless-name": (b"\x1f\x8b\x08\x08" + bytes(6) + b"x" * (1 << 20), "too early"),
    "zip-cut-off": (zip_of(DATA)[:900], "too early"),
    "zip-of-a-header": (zip_of(DATA)[:20], "too early"),
    "zip-without-contents": (zip_of(DATA)[: zip_of(DATA).index(b"PK\x01\x02")], "too early"),
    "zip-stored-cut-off": (zip_of(DATA, zipfile.ZIP_STORED)[:900], "too early"),
    "zip-of-another-method": (zip_of(DATA, zipfile.ZIP_BZIP2), "method 12"),
    "zip-encrypted": (zip_of(DATA)[:6] + b"\x01" + zip_of(DATA)[7:], "encrypted"),
    "zip-with-a-wrong-checksum": (zip_of(DATA)[:14] + bytes(4) + zip_of(DATA)[18:], "checksum"),
    "zip-streamed-cut-off": (streamed_zip(DATA)[: streamed_zip(DATA).index(b"PK\x07\x08") + 6], "damaged"),
    "zip-wide-without-a-size": (
        zip_of(b"x", zipfile.ZIP_STORED)[:18] + b"\xff" * 8 + zip_of(b"x", zipfile.ZIP_STORED)[26:],
        "how long",
    ),
    "lha": (b"\x20\x00-lh5-" + bytes(100), "LHA"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_cannot_be_unpacked(unpack: Desk, name: str) -> None:
    data, why = DAMAGED[name]
    with pytest.raises(Impossible, match=why):
        unpack.run(data)


def archive_of(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, DATA[:1000])
    return out.getvalue()


@pytest.mark.parametrize("names", [("a", "b"), ("../a", "b", "c")])
def test_an_archive_of_several_files(unpack: Desk, names: tuple[str, ...]) -> None:
    with pytest.raises(Impossible, match="more than one file"):
        unpack.run(archive_of(*names))


def test_a_name_that_leads_elsewhere_means_nothing(unpack: Desk) -> None:
    unpack.run(archive_of("../../../../tmp/evil"))
    assert unpack.target.read_bytes() == DATA[:1000]


@pytest.mark.parametrize("bomb", ["gzip", "zip"])
def test_a_bomb_fills_no_disk(unpack: Desk, bomb: str) -> None:
    """CVE-2013-4463's like: 64 MiB in 64 KiB, of which nothing but holes is written."""
    data = gzip.compress(bytes(64 << 20)) if bomb == "gzip" else zip_of(bytes(64 << 20))
    with pytest.raises(Impossible, match="more than the 33554432 bytes"):
        unpack.run(data, options=settings(max_unpacked_bytes=32 << 20))
    assert unpack.target.stat().st_blocks * 512 < 1 << 20
    unpack.target.unlink()
    unpack.run(data)
    assert (unpack.target.stat().st_size, unpack.target.stat().st_blocks) == (64 << 20, 0)


def test_a_bomb_of_something(unpack: Desk) -> None:
    with pytest.raises(Impossible, match="unpacks to more"):
        unpack.run(gzip.compress(b"x" * (8 << 20)), options=settings(max_unpacked_bytes=1 << 20))
    assert unpack.target.stat().st_size <= 1 << 20


# --- converting ---------------------------------------------------------------------------------------------------------


def made(folder: Path, disk_format: str, content: bytes = DATA) -> bytes:
    """A disk in another format, by qemu-img."""
    names = {"vhd": "vpc"}
    raw, out = folder / "content", folder / "made"
    raw.write_bytes(content.ljust(8 << 20, b"\0"))
    name = names.get(disk_format, disk_format)
    command = ("qemu-img", "convert", "-f", "raw", "-O", name, str(raw), str(out))
    subprocess.run(command, check=True)
    data = out.read_bytes()
    raw.unlink()
    out.unlink()
    return data


def to(output: str, **more: Any) -> Settings:
    return settings(CONVERT, image_conversion=msgspec.convert({"output_format": output}, Conversion), **more)


@pytest.mark.parametrize("output", ["raw", "qcow2", "vmdk"])
@pytest.mark.parametrize("disk_format", ["raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx"])
def test_disks_are_converted(
    convert: Desk, tmp_path_factory: pytest.TempPathFactory, disk_format: str, output: str
) -> None:
    data = made(tmp_path_factory.mktemp("made"), disk_format)
    about = facts(data, disk_format)
    assert convert.plugin.wanted(about, to(output)) == (disk_format != output)
    assert convert.run(data, about, to(output)) == Changed(output, "bare")
    result = convert.target.read_bytes()
    found = inspected(result, output)
    assert found.formats in ([output], ["raw"])
    assert found.problem is None
    assert (found.virtual_size or 0) >= 8 << 20
    raw = convert.source.with_name("target.raw")
    subprocess.run(("qemu-img", "convert", "-f", output, "-O", "raw", str(convert.target), str(raw)), check=True)
    assert raw.read_bytes().rstrip(b"\0") == DATA


def test_an_iso_stays_what_it_is(convert: Desk) -> None:
    assert not convert.plugin.wanted(facts(GOOD["iso"][1], "iso"), to("raw"))


@pytest.mark.parametrize(
    ("disk_format", "container_format"),
    [
        ("ploop", "bare"),
        ("aki", "aki"),
        ("ari", "ari"),
        ("ami", "ami"),
        ("vmdk", "ova"),
        ("raw", "docker"),
        ("raw", "compressed"),
    ],
)
def test_what_is_no_plain_disk_is_not_converted(convert: Desk, disk_format: str, container_format: str) -> None:
    about = facts(b"data", disk_format, container_format)
    with pytest.raises(Impossible, match="cannot be converted"):
        convert.run(b"data", about, to("qcow2"))


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_disks_never_reach_qemu_img(convert: Desk, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")  # what is called there cannot be found, and the refusal says so
    disk_format, data, _ = HOSTILE[name]
    with pytest.raises(Impossible) as refused:
        convert.run(data, facts(data, disk_format), to("raw" if disk_format != "raw" else "qcow2"))
    assert "qemu-img" not in str(refused.value)
    assert not convert.target.exists()


def test_what_was_not_inspected_is_not_converted(convert: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    good = qcow2()
    for about in (facts(good, "qcow2", found=None), facts(good + b"x", "qcow2")):
        with pytest.raises(Impossible, match="not inspected"):
            convert.run(good, about, to("raw"))


def test_a_damaged_disk(convert: Desk) -> None:
    """Its header is sound, so that qemu-img is called; what it says is told."""
    data = bytearray(qcow2())
    struct.pack_into(">I", data, 36, 1 << 31)  # entries of its table of clusters
    with pytest.raises(Impossible, match="cannot be converted: qemu-img convert failed"):
        convert.run(bytes(data), facts(bytes(data), "qcow2"), to("raw"))


HUGE_VMDK = vmdk(descriptor("monolithicSparse", 'RW 2147483648 SPARSE "disk.vmdk"'), sectors=1 << 31)


@pytest.mark.parametrize("disk", [("qcow2", qcow2(size=1 << 40)), ("vmdk", HUGE_VMDK)], ids=["qcow2", "vmdk"])
def test_a_disk_that_unfolds(convert: Desk, disk: tuple[str, bytes]) -> None:
    """CVE-2013-2096, CVE-2013-4469: a terabyte of nothing."""
    with pytest.raises(Impossible, match="at most 1073741824 are converted"):
        convert.run(disk[1], facts(disk[1], disk[0]), to("raw", max_unpacked_bytes=1 << 30))


def test_a_full_disk_is_tried_again(convert: Desk, programs: Path) -> None:
    (programs / "qemu-img").write_text("#!/bin/sh\necho error while writing: No space left on device >&2; exit 1\n")
    (programs / "qemu-img").chmod(0o755)
    with pytest.raises(Refused, match="No space left"):
        convert.run(qcow2(), facts(qcow2(), "qcow2"), to("raw"))


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose programs come first, for users without rights too."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
    folder.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    yield folder
    shutil.rmtree(folder)


# --- giving properties ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("roles", "ignored", "given"),
    [
        (("member",), ("admin",), {"os_admin_user": "root"}),
        (("member", "admin"), ("admin",), {}),
        (("admin",), (), {"os_admin_user": "root"}),
        ((), ("admin", "member"), {"os_admin_user": "root"}),
    ],
)
def test_properties_are_injected(roles: tuple[str, ...], ignored: tuple[str, ...], given: dict[str, str]) -> None:
    told = Injection(inject={"os_admin_user": "root"}, ignore_user_roles=ignored)
    chosen = settings(INJECT, inject_metadata_properties=told)
    (plugin,) = import_parts.injections(chosen)
    assert plugin.properties(facts(b"", roles=roles), chosen) == given


@pytest.mark.parametrize(
    "table",
    [
        {"inject_metadata_properties": {"inject": {"": "x"}}},
        {"inject_metadata_properties": {"inject": {"os_glance_failed_import": "x"}}},
        {"inject_metadata_properties": {"inject": {"a": 1}}},
        {"image_conversion": {"output_format": "vdi"}},
        {"max_unpacked_bytes": -1},
        {"image_import_plugins": ["image_compression"]},
    ],
)
def test_settings_that_cannot_be_meant(table: dict[str, Any]) -> None:
    from tiffin.core.settings import SettingsError, section

    with pytest.raises(SettingsError):
        section({"image": {"imports": table}}, "image", Settings)


def test_zlib_is_asked_for_a_bounded_piece_at_a_time(unpack: Desk) -> None:
    """What one step of unpacking holds in memory does not grow with the ratio of compression."""
    import tracemalloc

    data = zlib.compress(bytes(64 << 20), 9, 31)
    tracemalloc.start()
    unpack.run(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20
