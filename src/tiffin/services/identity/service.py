"""Identity: who may do what, and where everything is (Keystone's API v3)."""

from __future__ import annotations

from tiffin.core.service import Service
from tiffin.services.identity.dialect import IdentityDialect
from tiffin.services.identity.resources.access_rules import access_rules
from tiffin.services.identity.resources.application_credentials import application_credentials
from tiffin.services.identity.resources.auth import auth, auth_domains, auth_projects, user_projects
from tiffin.services.identity.resources.certificates import certificates
from tiffin.services.identity.resources.credentials import credentials
from tiffin.services.identity.resources.domain_config import domain_config
from tiffin.services.identity.resources.domains import domains
from tiffin.services.identity.resources.ec2_credentials import ec2_credentials
from tiffin.services.identity.resources.ec2_tokens import ec2_tokens, s3_tokens
from tiffin.services.identity.resources.endpoint_filters import (
    project_endpoints,
    project_groups,
    seeing_projects,
    seen_endpoints,
    seen_groups,
)
from tiffin.services.identity.resources.endpoint_groups import endpoint_groups
from tiffin.services.identity.resources.endpoint_policies import associations, endpoint_policies, policy_endpoints
from tiffin.services.identity.resources.endpoints import endpoints
from tiffin.services.identity.resources.federated_login import federated_login
from tiffin.services.identity.resources.federation_lists import federation_domains, federation_projects
from tiffin.services.identity.resources.federation_protocols import federation_protocols
from tiffin.services.identity.resources.grants import grants
from tiffin.services.identity.resources.groups import groups, members, of_user
from tiffin.services.identity.resources.identity_providers import identity_providers
from tiffin.services.identity.resources.limits import limits
from tiffin.services.identity.resources.mappings import mappings
from tiffin.services.identity.resources.oauth2 import oauth2
from tiffin.services.identity.resources.oauth_access_tokens import access_token_roles, access_tokens
from tiffin.services.identity.resources.oauth_consumers import consumers
from tiffin.services.identity.resources.oauth_tokens import access_token_draws, grants_of_tokens, request_tokens
from tiffin.services.identity.resources.policies import policies
from tiffin.services.identity.resources.project_tags import project_tags
from tiffin.services.identity.resources.projects import projects
from tiffin.services.identity.resources.regions import regions
from tiffin.services.identity.resources.registered_limits import registered_limits
from tiffin.services.identity.resources.revocations import revocations, revoked_pki
from tiffin.services.identity.resources.role_assignments import role_assignments
from tiffin.services.identity.resources.roles import inferences, roles
from tiffin.services.identity.resources.service_providers import service_providers
from tiffin.services.identity.resources.services import services
from tiffin.services.identity.resources.tokens import tokens, user_tokens
from tiffin.services.identity.resources.trusts import trust_roles, trusts
from tiffin.services.identity.resources.user_passwords import user_passwords
from tiffin.services.identity.resources.users import users
from tiffin.services.identity.resources.versions import versions

RULES = (
    ("admin_required", "role:admin or is_admin:1"),
    ("service_role", "role:service"),
    ("service_or_admin", "rule:admin_required or rule:service_role"),
    ("owner", "user_id:%(user_id)s"),
    ("admin_or_owner", "rule:admin_required or rule:owner"),
    ("token_subject", "user_id:%(target.token.user_id)s"),
    ("admin_or_token_subject", "rule:admin_required or rule:token_subject"),
    ("service_admin_or_token_subject", "rule:service_or_admin or rule:token_subject"),
    ("domain_managed_target_role",
     "'manager':%(target.role.name)s or 'member':%(target.role.name)s or 'reader':%(target.role.name)s"),
)  # fmt: skip

service = Service(
    type="identity",
    name="keystone",
    prefix="/identity",
    api="",
    dialect=IdentityDialect(),
    resources=(
        versions, tokens, user_tokens, revoked_pki, revocations, auth, auth_projects, auth_domains,
        domains, projects, project_tags, users, user_passwords, user_projects, groups, members, of_user,
        roles, inferences, *grants, role_assignments,
        application_credentials, access_rules, credentials, ec2_credentials, trusts, trust_roles,
        regions, services, endpoints, policies, registered_limits, limits, certificates,
        endpoint_groups, seen_endpoints, seeing_projects, seen_groups, project_endpoints, project_groups,
        associations, policy_endpoints, endpoint_policies,
        ec2_tokens, s3_tokens, consumers, request_tokens, access_token_draws, grants_of_tokens, access_tokens,
        access_token_roles, oauth2,
        domain_config, identity_providers, federation_protocols, mappings, service_providers,
        federation_projects, federation_domains, federated_login,
    ),
    rules=RULES,
)  # fmt: skip
