"""Images that are not what they say, or that point outside themselves, are refused before anything else reads them.

The files are made here, byte by byte where no tool makes such a thing, so that the test needs no qemu-img.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from api.image.refusals import not_imported, refused_on_upload

from .conftest import ImageCloud

MIB = 1 << 20


def qcow2(*, version: int = 3, backing: bytes = b"", features: int = 0, size: int = MIB) -> bytes:
    """A qcow2 header (docs/interop/qcow2 of QEMU) with nothing behind it."""
    offset = 104 if backing else 0
    head = struct.pack(
        ">4sIQIIQIIQQIIQ", b"QFI\xfb", version, offset, len(backing), 16, size, 0, 1, 3 << 16, 1 << 16, 1, 0, 0
    )
    head += struct.pack(">QQQII", features, 0, 0, 4, 104)
    return (head + backing).ljust(4 << 16, b"\0")


def vmdk(descriptor: str, *, sectors: int = 2048) -> bytes:
    """A sparse VMDK extent with a descriptor inside."""
    head = struct.pack("<4sIIQQQQIQQQ", b"KDMV", 1, 3, sectors, 128, 1, 20, 512, 21, 26, 128)
    return (head.ljust(512, b"\0") + descriptor.encode().ljust(20 * 512, b"\0")).ljust(1 << 16, b"\0")


def descriptor(kind: str, extent: str) -> str:
    head = f'# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="{kind}"\n'
    return f'{head}\n{extent}\n\nddb.adapterType = "ide"\n'


def vhd(size: int) -> bytes:
    footer = struct.pack(
        ">8sIIQI4sI4sQQIIIQ", b"conectix", 2, 0x10000, 512, 0, b"test", 1, b"Wi2k", size, size, 0, 3, 0, 0
    )
    return footer.ljust(2048, b"\0")


def vdi(size: int) -> bytes:
    head = b"<<< QEMU VM Virtual Disk Image >>>\n".ljust(64, b"\0") + struct.pack("<II", 0xBEDA107F, 0x10001)
    return (head.ljust(368, b"\0") + struct.pack("<Q", size)).ljust(4096, b"\0")


def iso() -> bytes:
    volume = b"\x01CD001\x01".ljust(80, b"\0") + struct.pack("<I", 40) + struct.pack(">I", 40)
    volume = volume.ljust(128, b"\0") + struct.pack("<H", 2048) + struct.pack(">H", 2048)
    return (bytes(32768) + volume).ljust(40 * 2048, b"\0")


def disk(boot: int = 0x80) -> bytes:
    """A raw disk with a partition table of one partition."""
    entry = struct.pack("<B3BB3BII", boot, 0, 2, 0, 0x83, 0, 0, 0, 2048, 2048)
    return (bytes(446) + entry + bytes(48) + b"\x55\xaa").ljust(MIB, b"\0")


SPARSE = descriptor("monolithicSparse", 'RW 2048 SPARSE "disk.vmdk"')
STREAM = descriptor("streamOptimized", 'RW 2048 SPARSE "disk.vmdk"')

GOOD = {
    "qcow2": ("qcow2", qcow2(), MIB),
    "qcow2-version-2": ("qcow2", qcow2(version=2), MIB),
    "vmdk": ("vmdk", vmdk(SPARSE), MIB),
    "vhd": ("vhd", vhd(MIB), MIB),
    "vdi": ("vdi", vdi(MIB), MIB),
    "iso": ("iso", iso(), 40 * 2048),
    "raw": ("raw", b"anything", 8),
    "empty": ("raw", b"", 0),
    "raw-with-partitions": ("raw", disk(), MIB),
    "raw-with-an-odd-boot-sector": ("raw", disk(0x55), MIB),
    "kernel": ("aki", disk(0x55), MIB),
}

BAD = {
    # CVE-2011-3147, CVE-2015-5163: a backing file shows a file of the host
    "backing-file": ("qcow2", qcow2(backing=b"/etc/passwd"), "backing"),
    "backing-file-version-2": ("qcow2", qcow2(version=2, backing=b"/etc/passwd"), "backing"),
    # CVE-2024-32498, CVE-2024-4467: so does an external data file
    "data-file": ("qcow2", qcow2(features=4), "data_file"),
    "unknown-feature": ("qcow2", qcow2(features=1 << 20), "unknown_features"),
    "qcow-version-1": ("qcow2", qcow2(version=1), "unknown_features"),
    # CVE-2013-2096, CVE-2013-4463: a small file that unfolds to fill the disk
    "enormous": ("qcow2", qcow2(size=1 << 50), "unfolds"),
    "enormous-vmdk": ("vmdk", vmdk(SPARSE, sectors=1 << 50), "unfolds"),
    # CVE-2022-47951: extents that are files of the host
    "flat-extent": ("vmdk", vmdk(descriptor("monolithicFlat", 'RW 2048 FLAT "/etc/passwd" 0')), "vmdk"),
    "sparse-extent-elsewhere": ("vmdk", vmdk(descriptor("monolithicSparse", 'RW 2048 SPARSE "/etc/passwd"')), "vmdk"),
    "bare-descriptor": (
        "vmdk",
        descriptor("monolithicFlat", 'RW 2048 FLAT "/etc/passwd" 0').encode().ljust(4096, b"\0"),
        "vmdk",
    ),
    "no-extent": ("vmdk", vmdk(descriptor("monolithicSparse", "")), "vmdk"),
    # CVE-2014-0134, CVE-2015-1850, CVE-2015-7548, CVE-2024-40767, CVE-2026-24708: raw bytes that the next reader would probe
    "qcow2-as-raw": ("raw", qcow2(), "qcow2"),
    "hostile-qcow2-as-raw": ("raw", qcow2(backing=b"/etc/passwd"), "qcow2"),
    "vmdk-as-raw": ("raw", vmdk(SPARSE), "vmdk"),
    "vdi-as-raw": ("raw", vdi(MIB), "vdi"),
    "vhd-as-raw": ("raw", vhd(MIB), "vhd"),
    "iso-as-raw": ("raw", iso(), "iso"),
    "qcow2-as-ami": ("ami", qcow2(), "qcow2"),
    "qcow2-as-ploop": ("ploop", qcow2(), "qcow2"),
    "qed-as-qcow2": ("qcow2", b"QED\0".ljust(4096, b"\0"), "qed"),
    "qed-as-raw": ("raw", b"QED\0".ljust(4096, b"\0"), "qed"),
    "luks-as-raw": ("raw", b"LUKS\xba\xbe\x00\x01".ljust(4096, b"\0"), "luks"),
    # what is declared is not there
    "raw-as-qcow2": ("qcow2", b"anything", "raw"),
    "empty-as-qcow2": ("qcow2", b"", "raw"),
    "cut-off-qcow2": ("qcow2", qcow2()[:100], "raw"),
    "vmdk-as-qcow2": ("qcow2", vmdk(SPARSE), "vmdk"),
    "partitions-as-iso": ("iso", disk(), "gpt"),
    "raw-as-vhdx": ("vhdx", b"vhd", "raw"),
    # two formats in one file: whoever reads it next decides which
    "qcow2-and-iso": ("qcow2", qcow2()[:32768] + iso()[32768:], "iso"),
    "iso-and-qcow2": ("iso", qcow2()[:32768] + iso()[32768:], "qcow2"),
    "qcow2-and-partitions": ("qcow2", qcow2()[:510] + b"\x55\xaa" + qcow2()[512:], "gpt"),
}


@pytest.mark.parametrize("piece", [MIB, 1000])
@pytest.mark.parametrize("name", sorted(GOOD))
def test_good_images(cloud: ImageCloud, name: str, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiffin.services.image.resources.data.CHUNK", piece)
    disk_format, data, virtual_size = GOOD[name]
    image = cloud.active(data, disk_format=disk_format)
    assert (image["status"], image["size"], image["virtual_size"]) == ("active", len(data), virtual_size)


@pytest.mark.parametrize("piece", [MIB, 1000])
@pytest.mark.parametrize("name", sorted(BAD))
def test_hostile_images(cloud: ImageCloud, name: str, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiffin.services.image.resources.data.CHUNK", piece)
    refused_on_upload(cloud, BAD[name])


@pytest.mark.parametrize("name", sorted(BAD))
def test_hostile_images_are_not_imported(cloud: ImageCloud, name: str) -> None:
    not_imported(cloud, BAD[name])


def test_a_refused_image_can_be_tried_again(cloud: ImageCloud) -> None:
    id = cloud.make(disk_format="qcow2")["id"]
    assert cloud.put(id, qcow2(backing=b"/etc/passwd")).status == 400
    assert cloud.put(id, qcow2()).status == 204


def test_a_container_hides_its_disk(cloud: ImageCloud) -> None:
    image = cloud.active(b"a tar archive", disk_format="vmdk", container_format="ova")
    assert image["virtual_size"] is None


def test_an_image_that_is_too_large(cloud: ImageCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    import msgspec

    from tiffin.services.image.settings import Limits

    service = cloud.cloud.service("image")
    monkeypatch.setitem(service.__dict__, "settings", msgspec.structs.replace(service.settings, limits=Limits(bytes=1000)))
    id = cloud.make()["id"]
    assert cloud.put(id, bytes(1001)).status == 413
    assert cloud.show(id)["status"] == "queued"
    assert cloud.put(id, bytes(1000)).status == 204


@pytest.fixture
def lenient() -> Iterator[ImageCloud]:
    """Of an operator who lets images be of other formats than they say."""
    made = ImageCloud(sections={"image": {"image_format": {"require_image_format_match": False}}})
    yield made
    made.close()


@pytest.mark.parametrize("name", ["raw-as-qcow2", "qcow2-as-raw", "partitions-as-iso"])
def test_other_formats_where_the_operator_lets_them(lenient: ImageCloud, name: str) -> None:
    disk_format, data, _ = BAD[name]
    image = lenient.active(data, disk_format=disk_format)
    assert (image["status"], image["disk_format"], image["size"]) == ("active", disk_format, len(data))


@pytest.mark.parametrize(
    "name", ["backing-file", "hostile-qcow2-as-raw", "flat-extent", "enormous", "qcow2-and-iso-hostile"]
)
def test_what_could_hurt_is_refused_all_the_same(lenient: ImageCloud, name: str) -> None:
    both = qcow2(backing=b"/etc/passwd")[:32768] + iso()[32768:]
    disk_format, data, _ = {**BAD, "qcow2-and-iso-hostile": ("qcow2", both, "")}[name]
    id = lenient.make(disk_format=disk_format)["id"]
    assert lenient.put(id, data).status == 400
    assert (lenient.show(id)["status"], list(lenient.store.keys())) == ("queued", [])
