"""The import plug-in that unpacks what was compressed for its way: gzip, and zip archives of one file.

Both are read as a stream, by zlib and what is written here: libraries for archives believe what an archive says of itself, and
read a table of contents of any length into memory.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tiffin.core.driver import Impossible
from tiffin.services.image.drivers.base import CHUNK
from tiffin.services.image.import_parts import Changed, Facts
from tiffin.services.image.settings import Settings

_GZIP, _ZIP, _LHA = b"\x1f\x8b\x08", b"PK\x03\x04", b"-lh"  # the last one two bytes later
_STORED, _DEFLATED = 0, 8
_LOCAL = struct.Struct("<4s5H3I2H")
"""A file's header (APPNOTE.TXT 4.3.7): signature, version, flags, method, time, date, CRC, sizes, lengths of name and extra."""
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_ENCRYPTED, _SIZES_FOLLOW = 1 << 0, 1 << 3
_WIDE = 0xFFFFFFFF  # the size is in the extra field
_ENDS = (b"PK\x05\x06", b"PK\x06\x06")


class ImageDecompression:
    """Implements `import_parts.Transform`."""

    name = "image_decompression"

    def wanted(self, facts: Facts, settings: Settings) -> bool:
        """A container `compressed` is meant to stay so, as upstream has it; and what is a known disk format is not packed."""
        known = facts.found is not None and facts.found.formats != ["raw"]
        return facts.container_format != "compressed" and not known

    def run(self, source: Path, target: Path, facts: Facts, settings: Settings) -> Changed:
        """What is not compressed becomes the target as it is."""
        with open(source, "rb") as file:
            head = file.read(5)
            file.seek(0)
            if head.startswith(_GZIP):
                _write(target, _gzip(file), settings.imports.max_unpacked_bytes)
            elif head.startswith(_ZIP):
                _write(target, _zip(file), settings.imports.max_unpacked_bytes)
            elif head[2:] == _LHA:
                raise Impossible("The image is an LHA archive, which is not unpacked here; use gzip or zip.")
            else:
                os.link(source, target)
        return Changed(facts.disk_format, facts.container_format)


def _write(target: Path, chunks: Iterator[bytes], most: int) -> None:
    """Zeros become holes, so that a bomb of them fills no disk."""
    size, zeros = 0, bytes(CHUNK)
    with open(target, "xb", buffering=0) as file:
        for chunk in chunks:
            size += len(chunk)
            if size > most:
                raise Impossible(f"The image unpacks to more than the {most} bytes that are accepted.")
            if chunk == zeros[: len(chunk)]:
                file.seek(len(chunk), os.SEEK_CUR)
            else:
                _write_all(file, chunk)
        file.truncate(size)


def _write_all(file: BinaryIO, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[file.write(view) :]


class _Inflated:
    """One deflated stream of a file; afterwards `rest` is what was read beyond its end."""

    def __init__(self, file: BinaryIO, window: int, rest: bytes = b"") -> None:
        """`window`: zlib's `wbits`, which says what is around the stream."""
        self._file, self._decoder, self.rest = file, zlib.decompressobj(window), rest

    def __iter__(self) -> Iterator[bytes]:
        """Raises `Impossible` for what is damaged or ends early."""
        packed = self.rest
        try:
            while not self._decoder.eof:
                packed = packed or self._file.read(CHUNK)
                unpacked = self._decoder.decompress(packed, CHUNK)
                if not packed and not unpacked:
                    raise Impossible("The compressed image ends too early.")
                packed = self._decoder.unconsumed_tail
                yield unpacked
        except zlib.error as no:
            raise Impossible(f"The compressed image is damaged: {no}.") from no
        self.rest = self._decoder.unused_data


def _gzip(file: BinaryIO) -> Iterator[bytes]:
    """A gzip file has one or more streams, and perhaps zeros behind them (RFC 1952; the program's manual)."""
    rest = file.read(CHUNK)
    while rest:
        stream = _Inflated(file, zlib.MAX_WBITS | 16, rest)
        yield from stream
        rest = stream.rest or file.read(CHUNK)
        while rest and not (rest := rest.lstrip(b"\0")):
            rest = file.read(CHUNK)


def _zip(file: BinaryIO) -> Iterator[bytes]:
    """The only file of an archive."""
    _, _, flags, method, _, _, crc, packed, _, name, extra = _read(file, _LOCAL)
    if flags & _ENCRYPTED:
        raise Impossible("The archive is encrypted.")
    if method not in (_STORED, _DEFLATED) or (method == _STORED and flags & _SIZES_FOLLOW):
        raise Impossible(f"The archive is packed by method {method}, which is not known here; use deflate.")
    file.seek(name, os.SEEK_CUR)
    more = file.read(extra)
    if method == _STORED and packed == _WIDE:
        packed = _wide_size(more)
    found = 0
    stream = _Inflated(file, -zlib.MAX_WBITS) if method == _DEFLATED else None
    for chunk in stream if stream is not None else _stored(file, packed):
        found = zlib.crc32(chunk, found)
        yield chunk
    if stream is not None:
        file.seek(-len(stream.rest), os.SEEK_CUR)
    if flags & _SIZES_FOLLOW:
        crc = _described(file)
    if found != crc:
        raise Impossible("The archive is damaged: its checksum does not fit.")
    _check_alone(file)


def _read(file: BinaryIO, form: struct.Struct) -> tuple[Any, ...]:
    data = file.read(form.size)
    if len(data) < form.size:
        raise Impossible("The archive ends too early.")
    return form.unpack(data)


def _stored(file: BinaryIO, size: int) -> Iterator[bytes]:
    while size > 0:
        chunk = file.read(min(CHUNK, size))
        if not chunk:
            raise Impossible("The archive ends too early.")
        size -= len(chunk)
        yield chunk


def _wide_size(extra: bytes) -> int:
    """The size of a stored file of 4 GiB or more (APPNOTE.TXT 4.5.3)."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        if kind == 1 and length >= 8 and len(extra) >= 12:
            size: int = struct.unpack_from("<Q", extra, 4)[0]
            return size
        extra = extra[4 + length :]
    raise Impossible("The archive does not say how long its file is.")


def _described(file: BinaryIO) -> int:
    """The checksum in the descriptor behind a file (APPNOTE.TXT 4.3.9), which has a signature or none, and sizes of four or
    eight bytes; what follows it tells which."""
    start = file.tell()
    data = file.read(28)
    lead = 4 if data.startswith(b"PK\x07\x08") else 0
    for length in (lead + 12, lead + 20):
        if data[length : length + 4] in (b"PK\x01\x02", _ZIP):
            file.seek(start + length)
            crc: int = struct.unpack_from("<I", data, lead)[0]
            return crc
    raise Impossible("The archive is damaged behind its file.")


def _check_alone(file: BinaryIO) -> None:
    """Raises `Impossible` unless one entry of the table of contents follows, and then its end."""
    signature, *_, name, extra, comment, _, _, _, _ = _read(file, _CENTRAL)
    file.seek(name + extra + comment, os.SEEK_CUR)
    if signature != b"PK\x01\x02" or file.read(4) not in _ENDS:
        raise Impossible("The archive holds more than one file.")


decompression = ImageDecompression()
