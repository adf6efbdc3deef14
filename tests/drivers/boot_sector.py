"""A guest of one sector: greets on its serial console, writes to its disk, and hears its power button.

Assembled from `boot_sector.s` beside this file. It runs a moment after power on, where a Linux takes seconds.
"""
from __future__ import annotations

import struct

_CODE = bytes.fromhex("""
    fa31c08ed88ec08ed0bc007cea117c0000fb8816cb7c803eb07d007507ba0206b80001efbecc7ce85200be9e7ce85600f4ba
    0006eda900017533bafd03eca80174eebaf803ec3c7074233c777513c606d47c02becc7ce82300bebb7ce82700ebcf3c6675
    cbbe9e7ce81b00ebf8bec57ce81300ba0406b80020efebb48a16cb7cb80043cd13c3ac84c0741288c3bafd03eca82074f888
    d8baf803eeebe9c374696666696e20746573742067756573740d0a6c6f67696e3a200d0a007772697474656e0d0a00627965
    0d0a000010000100a07d000001
""")
MARKER = b"TIFFIN"
WRITTEN_AT_BOOT, WRITTEN_WHEN_TOLD = 512, 1024  # offsets of the marker on the disk
_DATA, _DEAF, _WHERE = 0x1A0, 0x1B0, _CODE.index(bytes.fromhex("100001")) + 8


def disk(*, deaf: bool = False, size: int = 1 << 20, sector_at_boot: int = 1) -> bytes:
    """A raw disk that boots it. A deaf one does not hear its power button. `sector_at_boot`: where it writes then; what it is
    told to write goes to the sector with this number but for the last byte, which is 2."""
    sector = bytearray(512)
    sector[: len(_CODE)] = _CODE
    sector[_DATA : _DATA + len(MARKER)] = MARKER
    sector[_DEAF] = deaf
    sector[_WHERE : _WHERE + 4] = struct.pack("<I", sector_at_boot)
    # A partition that spans the disk: without one the format inspector takes the boot record for a damaged one.
    sector[446:462] = struct.pack("<B3sB3sII", 0x80, b"\x00\x02\x00", 0x83, b"\xfe\xff\xff", 1, size // 512 - 1)
    sector[510:] = b"\x55\xaa"
    return bytes(sector).ljust(size, b"\0")
