"""The hardware that an image may ask for by its hw_* properties (Glance: useful image properties)."""
from __future__ import annotations

from collections.abc import Mapping

from tiffin.core.driver import Impossible

# A SATA port takes one disk: the disk's number is the port's.
DISK_BUSES = {"virtio": "virtio-blk-pci", "scsi": "scsi-hd,bus=scsi0.0", "sata": "ide-hd,bus=ide.{number}"}
VIF_MODELS = {"virtio": "virtio-net-pci", "e1000": "e1000", "e1000e": "e1000e", "rtl8139": "rtl8139",
              "vmxnet3": "vmxnet3"}
VIDEO_MODELS = {"vga": "VGA", "cirrus": "cirrus-vga", "virtio": "virtio-vga", "bochs": "bochs-display"}


def disk_model(properties: Mapping[str, str]) -> str:
    """QEMU's device for disks, `{number}` standing for the disk's.

    Raises `Impossible` for one that we do not have, as the others here.
    """
    return _choose(properties, "hw_disk_bus", "virtio", DISK_BUSES)


def vif_model(properties: Mapping[str, str]) -> str:
    """QEMU's device for network interfaces."""
    return _choose(properties, "hw_vif_model", "virtio", VIF_MODELS)


def video_model(properties: Mapping[str, str]) -> str:
    """QEMU's device for the screen."""
    return _choose(properties, "hw_video_model", "vga", VIDEO_MODELS)


def _choose(properties: Mapping[str, str], name: str, default: str, known: Mapping[str, str]) -> str:
    value = properties.get(name, default)
    if value not in known:
        raise Impossible(f"the image asks for {name}={value[:64]!r}; this host has {', '.join(known)}")
    return known[value]
