"""For tokens of which scope a rule of identity is, beside what its expression says: upstream's scope types. Most are for the
system and for projects; so who has the role admin on a domain does not administer the cloud with a token of that domain."""

from __future__ import annotations

DOMAIN_TOO = frozenset((
    "get_credential", "list_credentials", "create_credential", "update_credential", "delete_credential",
    "get_domain", "list_domains", "get_security_compliance_domain_config", "check_grant", "list_grants",
    "create_grant", "revoke_grant", "get_group", "list_groups", "list_groups_for_user", "create_group",
    "update_group", "delete_group", "list_users_in_group", "remove_user_from_group", "check_user_in_group",
    "add_user_to_group", "get_limit_model", "get_limit", "list_limits", "get_project", "list_projects",
    "list_user_projects", "create_project", "update_project", "delete_project", "list_project_tags",
    "get_project_tag", "update_project_tags", "create_project_tag", "delete_project_tags",
    "delete_project_tag", "get_region", "list_regions", "get_registered_limit", "list_registered_limits",
    "get_role", "list_roles", "list_role_assignments", "list_role_assignments_for_tree", "s3tokens_validate",
    "ec2tokens_validate", "check_token", "validate_token", "revoke_token", "get_user", "list_users",
    "create_user", "update_user", "delete_user",
))  # fmt: skip
PROJECT_ONLY = frozenset((
    "authorize_request_token", "get_access_token", "get_access_token_role", "list_access_tokens",
    "list_access_token_roles", "delete_access_token", "create_application_credential", "create_trust",
))  # fmt: skip
ANY = frozenset((
    "get_auth_catalog", "get_auth_projects", "get_auth_domains", "get_auth_system", "list_projects_for_user",
    "list_domains_for_user",
))  # fmt: skip


def scopes(rule: str) -> tuple[str, ...] | None:
    """The kinds of scope that a token may have; None: any, as with rules that only others refer to."""
    service, _, name = rule.partition(":")
    if service != "identity" or name in ANY:
        return None
    if name in PROJECT_ONLY:
        return ("project",)
    return ("system", "domain", "project") if name in DOMAIN_TOO else ("system", "project")
