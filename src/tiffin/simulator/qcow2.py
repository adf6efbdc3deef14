"""The smallest qcow2 image of a given size: empty, but one that every tool accepts (QEMU's docs/interop/qcow2.txt)."""
from __future__ import annotations

import struct

_CLUSTER_BITS = 16
_CLUSTER = 1 << _CLUSTER_BITS
_L2_COVERS = _CLUSTER // 8 * _CLUSTER  # bytes of disk that one entry of the L1 table stands for


def empty_qcow2(virtual_size: int, label: bytes = b"") -> bytes:
    """A qcow2 (version 3) of `virtual_size` bytes that reads as zeros. `label`, at most 1 KiB, lies where nobody looks,
    so that two images differ."""
    l1_entries = -(-virtual_size // _L2_COVERS)
    l1_clusters = -(-l1_entries * 8 // _CLUSTER) or 1
    clusters = 3 + l1_clusters  # header, table of reference counts, reference counts, L1 table
    header = struct.pack(
        ">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, 0, 0, _CLUSTER_BITS, virtual_size, 0, l1_entries, 3 * _CLUSTER, _CLUSTER,
        1, 0, 0, 0, 0, 0, 4, 104)
    counts = struct.pack(">H", 1) * clusters
    parts = (header + bytes(8) + label[:1024], struct.pack(">Q", 2 * _CLUSTER), counts, bytes(l1_clusters * _CLUSTER))
    return b"".join(part.ljust(-(-len(part) // _CLUSTER) * _CLUSTER, b"\0") for part in parts)
