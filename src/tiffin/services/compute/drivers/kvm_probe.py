"""Does KVM really run guests here? Only a Linux that reaches user space proves it.

On hosts whose KVM emulates (kvm_pvm inside another guest, say) /dev/kvm opens, a virtual machine is made, real-mode
code runs; and a 64-bit kernel then crawls or dies on an instruction that the emulator does not know. So: cheap hints
that say no at once, then a boot of a real kernel whose only program prints a word. The answer is kept until the machine
restarts.
"""
from __future__ import annotations

import os
import platform
import re
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Literal

import msgspec

_MARKER = b"tiffin-kvm-works"
_SECONDS = 5.0


class Probe(msgspec.Struct, frozen=True):
    accelerator: Literal["kvm", "tcg"]
    why: str
    boot_id: str


def accelerator(binary: str, kernel: Path | None, memory: Path) -> Probe:
    """What to run guests with; remembered in the file `memory` until the machine restarts.

    `kernel` is a Linux to try with; without one, one of this machine's own is taken from /boot.
    """
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    try:
        known = msgspec.json.decode(memory.read_bytes(), type=Probe)
        if known.boot_id == boot_id:
            return known
    except (FileNotFoundError, msgspec.DecodeError):
        pass
    why = hint(Path("/proc/cpuinfo").read_text())
    if not why:
        kernel = kernel or _own_kernel()
        with_kvm = ("-accel", "kvm", "-cpu", "host")
        why = boots(binary, kernel, with_kvm) if kernel else "there is no kernel to try KVM with"
    probe = Probe("tcg" if why else "kvm", why, boot_id)
    memory.write_bytes(msgspec.json.encode(probe))
    return probe


def hint(cpuinfo: str) -> str:
    """Why KVM cannot work, as far as looking tells; empty when it may."""
    if platform.machine() != "x86_64":
        return "only x86_64 is known"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "/dev/kvm is not there, or not for us"
    flags = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    if not flags or not {"vmx", "svm"} & set(flags[1].split()):
        return "the processor shows neither vmx nor svm: KVM would emulate"
    return ""


def boots(binary: str, kernel: Path, accelerated: tuple[str, ...], seconds: float = _SECONDS) -> str:
    """Why a guest with this kernel does not reach user space in `seconds`; empty when it does."""
    with tempfile.TemporaryDirectory(prefix="tiffin-kvm-") as folder:
        ramdisk = Path(folder, "ramdisk")
        ramdisk.write_bytes(_archive("init", _init()))
        command = (binary, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "q35",
                   *accelerated, "-m", "192", "-kernel", str(kernel), "-initrd", str(ramdisk),
                   "-append", "console=ttyS0 quiet panic=-1", "-serial", "stdio")
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds)
        except subprocess.TimeoutExpired as late:
            return "" if _MARKER in (late.stdout or b"") else f"a guest was silent for {seconds:.0f} s"
        except OSError as error:
            return f"QEMU does not run: {error}"
    said = " ".join(done.stderr.decode(errors="replace").split())[:200]
    return "" if _MARKER in done.stdout else f"a guest ended without a word: {said}"


def _own_kernel() -> Path | None:
    running = Path(f"/boot/vmlinuz-{platform.release()}")
    return running if running.exists() else max(Path("/boot").glob("vmlinuz-*"), default=None)


def _init() -> bytes:
    """A static ELF program: write the marker to the console, exit (upon which the kernel panics)."""
    code = b"".join((
        b"\xb8\x01\x00\x00\x00",  # mov eax, 1 (write)
        b"\xbf\x01\x00\x00\x00",  # mov edi, 1
        b"\x48\x8d\x35\x10\x00\x00\x00",  # lea rsi, [rip + 16]: the marker
        b"\xba" + struct.pack("<I", len(_MARKER) + 1),  # mov edx, its length
        b"\x0f\x05",  # syscall
        b"\xb8\x3c\x00\x00\x00",  # mov eax, 60 (exit)
        b"\x31\xff",  # xor edi, edi
        b"\x0f\x05",  # syscall
    )) + _MARKER + b"\n"
    address = 0x400000
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, address + 120, 64, 0, 0, 64, 56, 1,
                         0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, address, address, 120 + len(code), 120 + len(code), 4096)
    return header + segment + code


def _archive(name: str, content: bytes) -> bytes:
    """A cpio archive in the "newc" format (Linux: Documentation/driver-api/early-userspace/buffer-format.rst)."""
    entries = b""
    for number, (path, mode, data) in enumerate(((name, 0o100755, content), ("TRAILER!!!", 0, b"")), 1):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path) + 1, 0)
        entry = b"070701" + b"".join(b"%08X" % field for field in fields) + path.encode() + b"\0"
        entry += b"\0" * (-len(entry) % 4) + data
        entries += entry + b"\0" * (-len(entry) % 4)
    return entries
