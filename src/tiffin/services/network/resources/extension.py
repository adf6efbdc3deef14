"""The extensions of Neutron's API that are here, and the documents that say which versions are."""

from __future__ import annotations

from typing import Any

from tiffin.core.call import Call
from tiffin.core.errors import NotFound
from tiffin.core.resource import Resource

EXTENSIONS = {
    "router": ("Neutron L3 Router", "2012-07-20T10:00:00Z"),
    "external-net": ("Neutron external network", "2013-01-14T10:00:00Z"),
    "security-group": ("security-group", "2012-10-05T10:00:00Z"),
    "subnet_allocation": ("Subnet Allocation", "2015-03-30T10:00:00Z"),
    "quotas": ("Quota management support", "2012-07-29T10:00:00Z"),
    "quota-check-limit": ("Quota engine limit check", "2021-09-08T16:00:00Z"),
    "quota_details": ("Quota details management support", "2017-02-10T10:00:00Z"),
    "binding": ("Port Binding", "2014-02-03T10:00:00Z"),
    "port-security": ("Port Security", "2012-07-23T10:00:00Z"),
    "default-subnetpools": ("Default Subnetpools", "2016-02-18T18:00:00Z"),
    "net-mtu": ("Network MTU", "2015-03-25T10:00:00Z"),
    "net-mtu-writable": ("Network MTU (writable)", "2017-07-12T00:00:00Z"),
    "ext-gw-mode": ("Neutron L3 Configurable external gateway mode", "2013-03-28T10:00:00Z"),
    "extraroute": ("Neutron Extra Route", "2013-02-01T10:00:00Z"),
    "extraroute-atomic": ("Atomically add/remove extra routes", "2019-07-10T00:00:00Z"),
    "allowed-address-pairs": ("Allowed Address Pairs", "2013-07-23T10:00:00Z"),
    "dns-integration": ("DNS Integration", "2015-08-15T18:00:00Z"),
    "extra_dhcp_opt": ("Neutron Extra DHCP options", "2013-03-17T12:00:00Z"),
    "standard-attr-description": ("standard-attr-description", "2016-02-10T10:00:00Z"),
    "standard-attr-timestamp": ("Resource timestamps", "2016-09-12T10:00:00Z"),
    "standard-attr-revisions": ("Resource revision numbers", "2016-04-11T10:00:00Z"),
    "standard-attr-tag": ("Tag support for resources with standard attributes", "2017-01-01T00:00:00Z"),
    "project-id": ("project_id field enabled", "2016-09-09T09:09:09-09:09"),
    "provider": ("Provider Network", "2012-09-07T10:00:00Z"),
    "pagination": ("Pagination support", "2016-06-12T00:00:00Z"),
    "sorting": ("Sorting support", "2016-06-12T00:00:00Z"),
    "sort-key-validation": ("Sort keys validation", "2018-07-04T10:00:00Z"),
    "agent": ("agent", "2013-02-03T10:00:00Z"),
    "availability_zone": ("Availability Zone", "2015-01-01T10:00:00Z"),
    "network_availability_zone": ("Network Availability Zone", "2015-01-01T10:00:00Z"),
    "router_availability_zone": ("Router Availability Zone", "2015-01-01T10:00:00Z"),
    "rbac-policies": ("RBAC Policies", "2015-06-17T12:15:12Z"),
    "rbac-security-groups": ("Add security_group type to network RBAC", "2019-02-14T00:00:00Z"),
    "rbac-subnetpool": ("Add subnetpool type to RBAC", "2020-02-05T00:00:00Z"),
    "rbac-address-group": ("Add address_group type to RBAC", "2021-01-20T00:00:00Z"),
    "network-ip-availability": ("Network IP Availability", "2015-09-24T00:00:00Z"),
    "revision-if-match": ("If-Match constraints based on revision_number", "2016-12-11T00:00:00Z"),
    "fip-port-details": ("Floating IP Port Details Extension", "2018-04-09T10:00:00Z"),
    "stateful-security-group": ("Stateful security group", "2019-11-26T09:00:00Z"),
    "security-groups-normalized-cidr": ("Normalized CIDR field for security group rules", "2020-07-28T10:00:00Z"),
    "security-groups-remote-address-group": (
        "Remote address group id field for security group rules",
        "2020-08-25T10:00:00Z",
    ),
    "security-groups-shared-filtering": ("Security group filtering on the shared field", "2021-10-05T09:00:00Z"),
    "address-group": ("Address group", "2020-07-15T10:00:00Z"),
    "empty-string-filtering": ("Empty String Filtering Extension", "2018-05-01T10:00:00Z"),
    "filter-validation": ("Filter parameters validation", "2018-07-04T10:00:00Z"),
    "ip-substring-filtering": ("IP address substring filtering", "2017-11-28T09:00:00Z"),
    "subnet-service-types": ("Subnet service types", "2016-03-15T18:00:00Z"),
    "tag-ports-during-bulk-creation": ("Tag Ports During Bulk Creation", "2019-12-29T19:00:00Z"),
}
"""Alias -> (name, when it was last changed upstream). What is not served is not claimed."""

COLLECTIONS = (
    "networks",
    "subnets",
    "ports",
    "routers",
    "floatingips",
    "security_groups",
    "security_group_rules",
    "subnetpools",
    "address_groups",
    "rbac_policies",
    "agents",
    "availability_zones",
    "network_ip_availabilities",
)
SINGULAR = {"rbac_policies": "rbac_policy", "network_ip_availabilities": "network_ip_availability"}

extensions = Resource("extension", "extensions", "/v2.0/extensions")
versions = Resource("version", "versions", "")


def _view(alias: str) -> dict[str, Any]:
    name, updated = EXTENSIONS[alias]
    return {"alias": alias, "name": name, "description": f"{name}.", "updated": updated, "links": []}


@extensions.operation("GET", policy=None)
def listed(call: Call) -> dict[str, Any]:
    return {"extensions": [_view(alias) for alias in EXTENSIONS]}


@extensions.operation("GET", "/{alias}", policy=None)
def show(call: Call, alias: str) -> dict[str, Any]:
    if alias not in EXTENSIONS:
        raise NotFound(f"Extension with alias {alias[:255]} does not exist", code="HTTPNotFound")
    return {"extension": _view(alias)}


@versions.operation("GET", "/", policy=None, auth=False, transaction="none")
def all_versions(call: Call) -> dict[str, Any]:
    link = {"rel": "self", "href": f"{call.base_url}/v2.0/"}
    return {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [link]}]}


@versions.operation("GET", "/v2.0", policy=None, auth=False, transaction="none")
def resources(call: Call) -> dict[str, Any]:
    found = []
    for collection in COLLECTIONS:
        href = f"{call.base_url}/v2.0/{collection.replace('_', '-')}"
        name = SINGULAR.get(collection, collection.removesuffix("s"))
        found.append({"name": name, "collection": collection, "links": [{"rel": "self", "href": href}]})
    return {"resources": found}
