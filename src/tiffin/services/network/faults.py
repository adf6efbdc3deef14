"""Neutron's own error types, as faults."""

from __future__ import annotations

from tiffin.core.errors import BadRequest, Conflict, NotFound


def invalid_input(why: str) -> BadRequest:
    return BadRequest(f"Invalid input for operation: {why}.", code="InvalidInput")


def bad_request(resource: str, why: str) -> BadRequest:
    return BadRequest(f"Bad {resource} request: {why}.", code="BadRequest")


def missing(kind: str, id: str) -> NotFound:
    """The 404 of an object; `kind` is its singular name."""
    type, text = _MISSING[kind]
    return NotFound(text.format(id=id[:255]), code=type)


_MISSING = {
    "network": ("NetworkNotFound", "Network {id} could not be found."),
    "subnet": ("SubnetNotFound", "Subnet {id} could not be found."),
    "subnetpool": ("SubnetPoolNotFound", "Subnet pool {id} could not be found."),
    "port": ("PortNotFound", "Port {id} could not be found."),
    "router": ("RouterNotFound", "Router {id} could not be found."),
    "floatingip": ("FloatingIPNotFound", "Floating IP {id} could not be found."),
    "security_group": ("SecurityGroupNotFound", "Security group {id} does not exist."),
    "security_group_rule": ("SecurityGroupRuleNotFound", "Security group rule {id} does not exist."),
    "address_group": ("AddressGroupNotFound", "Address group {id} could not be found."),
    "rbac_policy": ("RbacPolicyNotFound", "RBAC policy {id} could not be found."),
    "agent": ("AgentNotFound", "Agent {id} could not be found."),
}


def address_in_use(network_id: str, ip: str) -> Conflict:
    return Conflict(
        f"Unable to complete operation for network {network_id}. The IP address {ip} is in use.",
        code="IpAddressInUse",
    )


def no_addresses(network_id: str) -> Conflict:
    return Conflict(f"No more IP addresses available on network {network_id}.", code="IpAddressGenerationFailure")


def port_in_use(port_id: str, network_id: str, device_id: str) -> Conflict:
    return Conflict(
        f"Unable to complete operation on port {port_id} for network {network_id}. "
        f"Port already has an attached device {device_id}.",
        code="PortInUse",
    )
