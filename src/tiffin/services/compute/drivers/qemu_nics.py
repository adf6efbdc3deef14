"""NICs of a running guest: plugged into a free PCIe root port, unplugged with the guest's consent."""
from __future__ import annotations

from tiffin.core.driver import Impossible, Refused
from tiffin.services.compute.drivers import hardware, qmp
from tiffin.services.compute.drivers.base import Nic
from tiffin.services.compute.drivers.departure import Slot
from tiffin.services.compute.drivers.qemu_command import nic_arguments

_PERIPHERAL = "/machine/peripheral"  # where QEMU keeps the devices that have an id
_PORT, _NIC = "rp", "nic-"


def ensure(monitor: qmp.Monitor, nic: Nic, full_checksums: bool) -> None:
    """Have the NIC. Raises `Impossible` when no port is free."""
    ports = _root_ports(monitor)
    if _device(nic.port_id) in ports.values():
        return
    free = next((port for port, device in ports.items() if device is None), None)
    if free is None:
        raise Impossible("the guest has no room for another network interface")
    slot = Slot(nic.port_id, int(free.removeprefix(_PORT)), hardware.vif_model({}), full_checksums)
    netdev, device = nic_arguments(nic, slot)
    _forget_backend(monitor, nic.port_id)
    monitor.do("netdev_add", netdev)
    monitor.do("device_add", device)


def forget(monitor: qmp.Monitor, port_id: str, patience: float) -> None:
    """Have no such NIC. Raises `Refused` when the guest does not let go within `patience` seconds (call again)."""
    if _device(port_id) in _root_ports(monitor).values():
        try:
            monitor.do("device_del", {"id": _device(port_id)})
        except qmp.CommandFailed as failed:
            # Asked before and still waiting for the guest, or gone in this moment.
            if failed.kind != "DeviceNotFound" and "unplug" not in failed.description:
                raise
        if not monitor.wait_event(lambda event: event["event"] == "DEVICE_DELETED"
                                  and event["data"].get("device") == _device(port_id), patience) \
                and _device(port_id) in _root_ports(monitor).values():
            raise Refused(f"the guest does not let go of the network interface of port {port_id}")
    _forget_backend(monitor, port_id)


def slots(monitor: qmp.Monitor) -> tuple[int, tuple[Slot, ...]]:
    """How many ports for NICs the guest has, and what sits in them."""
    ports = _root_ports(monitor)
    kinds = {each["name"]: each["type"][len("child<") : -1] for each in monitor.do("qom-list", {"path": _PERIPHERAL})}
    return len(ports), tuple(
        Slot(device.removeprefix(_NIC), int(port.removeprefix(_PORT)), kinds[device], _full_checksums(monitor, device))
        for port, device in sorted(ports.items()) if device is not None and device.startswith(_NIC))


def _full_checksums(monitor: qmp.Monitor, device: str) -> bool:
    try:
        return not monitor.do("qom-get", {"path": f"{_PERIPHERAL}/{device}", "property": "csum"})
    except qmp.CommandFailed as failed:  # of a device that has no choice
        if "not found" not in failed.description:
            raise
        return False


def _forget_backend(monitor: qmp.Monitor, port_id: str) -> None:
    try:
        monitor.do("netdev_del", {"id": f"net-{port_id}"})
    except qmp.CommandFailed as failed:
        if "not found" not in failed.description:
            raise


def _root_ports(monitor: qmp.Monitor) -> dict[str, str | None]:
    """The root ports and the device in each. From QEMU's objects: query-pci only tells what the guest has seen."""
    listed = monitor.do("qom-list", {"path": _PERIPHERAL})
    devices = [each["name"] for each in listed if each["type"].startswith("child<")]
    found: dict[str, str | None] = {name: None for name in devices if name.startswith(_PORT)}
    for device in devices:
        bus = monitor.do("qom-get", {"path": f"{_PERIPHERAL}/{device}", "property": "parent_bus"}).rpartition("/")[2]
        if bus in found:
            found[bus] = device
    return found


def _device(port_id: str) -> str:
    return _NIC + port_id
