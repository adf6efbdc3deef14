"""identity"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'


def upgrade() -> None:
    op.create_table('identity_consumer',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('secret', sa.LargeBinary(), nullable=False),
    sa.Column('extra', sa.JSON(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_table('identity_endpoint_group',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('filters', sa.JSON(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_table('identity_epoch',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('value', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_table('identity_mapping',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('rules', sa.JSON(), nullable=False),
    sa.Column('schema_version', sa.String(length=8), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_table('identity_policy',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('type', sa.String(length=255), nullable=False),
    sa.Column('blob', sa.Text(), nullable=False),
    sa.Column('extra', sa.JSON(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_table('identity_project',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('domain_id', sa.String(length=64), nullable=True),
    sa.Column('parent_id', sa.String(length=64), nullable=True),
    sa.Column('is_domain', sa.Boolean(), nullable=False),
    sa.Column('enabled', sa.Boolean(), nullable=False),
    sa.Column('description', sa.Text(), nullable=False),
    sa.Column('options', sa.JSON(), nullable=False),
    sa.Column('extra', sa.JSON(), nullable=False),
    sa.Column('generation', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['domain_id'], ['identity_project.id'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['parent_id'], ['identity_project.id'], ),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('domain_id', 'name')
    )
    with op.batch_alter_table('identity_project', schema=None) as batch_op:
        batch_op.create_index('identity_domain_by_name', ['name'], unique=True, sqlite_where=sa.text('is_domain = 1'), postgresql_where=sa.text('is_domain'))
        batch_op.create_index('identity_project_parent', ['parent_id', 'name'], unique=False)
        batch_op.create_index(batch_op.f('ix_identity_project_name'), ['name'], unique=False)

    op.create_table('identity_region',
    sa.Column('id', sa.String(length=255), nullable=False),
    sa.Column('description', sa.Text(), nullable=False),
    sa.Column('parent_region_id', sa.String(length=255), nullable=True),
    sa.Column('extra', sa.JSON(), nullable=False),
    sa.ForeignKeyConstraint(['parent_region_id'], ['identity_region.id'], ),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('identity_region', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_region_parent_region_id'), ['parent_region_id'], unique=False)

    op.create_table('identity_revoked_token',
    sa.Column('audit_id', sa.String(length=64), nullable=False),
    sa.Column('cascade', sa.Boolean(), server_default=sa.true(), nullable=False),
    sa.Column('revoked_at', sa.Float(precision=53), server_default='0', nullable=False),
    sa.Column('expires_at', sa.Float(precision=53), nullable=False),
    sa.PrimaryKeyConstraint('audit_id')
    )
    with op.batch_alter_table('identity_revoked_token', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_revoked_token_expires_at'), ['expires_at'], unique=False)

    op.create_table('identity_service',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('type', sa.String(length=255), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('enabled', sa.Boolean(), nullable=False),
    sa.Column('extra', sa.JSON(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('identity_service', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_service_type'), ['type'], unique=False)

    op.create_table('identity_service_provider',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('enabled', sa.Boolean(), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('auth_url', sa.String(length=255), nullable=False),
    sa.Column('sp_url', sa.String(length=255), nullable=False),
    sa.Column('relay_state_prefix', sa.String(length=255), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_table('identity_domain_option',
    sa.Column('domain_id', sa.String(length=64), nullable=False),
    sa.Column('group', sa.String(length=64), nullable=False),
    sa.Column('option', sa.String(length=64), nullable=False),
    sa.Column('value', sa.JSON(), nullable=False),
    sa.Column('secret', sa.LargeBinary(), nullable=True),
    sa.ForeignKeyConstraint(['domain_id'], ['identity_project.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('domain_id', 'group', 'option')
    )
    op.create_table('identity_endpoint',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('service_id', sa.String(length=64), nullable=False),
    sa.Column('region_id', sa.String(length=255), nullable=True),
    sa.Column('interface', sa.String(length=64), nullable=False),
    sa.Column('url', sa.Text(), nullable=False),
    sa.Column('enabled', sa.Boolean(), nullable=False),
    sa.Column('extra', sa.JSON(), nullable=False),
    sa.ForeignKeyConstraint(['region_id'], ['identity_region.id'], ),
    sa.ForeignKeyConstraint(['service_id'], ['identity_service.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('identity_endpoint', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_endpoint_region_id'), ['region_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_identity_endpoint_service_id'), ['service_id'], unique=False)

    op.create_table('identity_group',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('domain_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('description', sa.Text(), nullable=False),
    sa.Column('extra', sa.JSON(), nullable=False),
    sa.ForeignKeyConstraint(['domain_id'], ['identity_project.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('domain_id', 'name')
    )
    with op.batch_alter_table('identity_group', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_group_name'), ['name'], unique=False)

    op.create_table('identity_identity_provider',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('domain_id', sa.String(length=64), nullable=False),
    sa.Column('enabled', sa.Boolean(), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('authorization_ttl', sa.Integer(), nullable=True),
    sa.ForeignKeyConstraint(['domain_id'], ['identity_project.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('identity_identity_provider', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_identity_provider_domain_id'), ['domain_id'], unique=False)

    op.create_table('identity_project_endpoint_group',
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('endpoint_group_id', sa.String(length=64), nullable=False),
    sa.ForeignKeyConstraint(['endpoint_group_id'], ['identity_endpoint_group.id'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['project_id'], ['identity_project.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('project_id', 'endpoint_group_id')
    )
    with op.batch_alter_table('identity_project_endpoint_group', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_project_endpoint_group_endpoint_group_id'), ['endpoint_group_id'], unique=False)

    op.create_table('identity_project_tag',
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.ForeignKeyConstraint(['project_id'], ['identity_project.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('project_id', 'name')
    )
    with op.batch_alter_table('identity_project_tag', schema=None) as batch_op:
        batch_op.create_index('identity_project_tag_name', ['name', 'project_id'], unique=False)

    op.create_table('identity_registered_limit',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('service_id', sa.String(length=64), nullable=False),
    sa.Column('region_id', sa.String(length=255), nullable=True),
    sa.Column('resource_name', sa.String(length=255), nullable=False),
    sa.Column('default_limit', sa.BigInteger(), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['region_id'], ['identity_region.id'], ),
    sa.ForeignKeyConstraint(['service_id'], ['identity_service.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('identity_registered_limit', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_registered_limit_region_id'), ['region_id'], unique=False)

    op.create_table('identity_role',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('domain_id', sa.String(length=64), nullable=True),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('options', sa.JSON(), nullable=False),
    sa.Column('extra', sa.JSON(), nullable=False),
    sa.ForeignKeyConstraint(['domain_id'], ['identity_project.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('domain_id', 'name')
    )
    with op.batch_alter_table('identity_role', schema=None) as batch_op:
        batch_op.create_index('identity_global_role_name', ['name'], unique=True, sqlite_where=sa.text('domain_id IS NULL'), postgresql_where=sa.text('domain_id IS NULL'))

    op.create_table('identity_user',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('domain_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('enabled', sa.Boolean(), nullable=False),
    sa.Column('default_project_id', sa.String(length=64), nullable=True),
    sa.Column('password_hash', sa.String(length=255), nullable=True),
    sa.Column('password_changed_at', sa.Float(precision=53), nullable=True),
    sa.Column('password_expires_at', sa.Float(precision=53), nullable=True),
    sa.Column('password_self_service', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.Column('failed_logins', sa.Integer(), server_default='0', nullable=False),
    sa.Column('failed_at', sa.Float(precision=53), nullable=True),
    sa.Column('last_active_at', sa.Float(precision=53), nullable=True),
    sa.Column('options', sa.JSON(), nullable=False),
    sa.Column('extra', sa.JSON(), nullable=False),
    sa.Column('created_at', sa.Float(precision=53), nullable=False),
    sa.Column('generation', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['domain_id'], ['identity_project.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('domain_id', 'name')
    )
    with op.batch_alter_table('identity_user', schema=None) as batch_op:
        batch_op.create_index('identity_user_enabled', ['enabled', 'name'], unique=False)
        batch_op.create_index('identity_user_password_expires', ['password_expires_at', 'id'], unique=False)
        batch_op.create_index(batch_op.f('ix_identity_user_default_project_id'), ['default_project_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_identity_user_name'), ['name'], unique=False)

    op.create_table('identity_access_rule',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('service', sa.String(length=255), nullable=False),
    sa.Column('path', sa.String(length=255), nullable=False),
    sa.Column('method', sa.String(length=64), nullable=False),
    sa.ForeignKeyConstraint(['user_id'], ['identity_user.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('user_id', 'service', 'path', 'method')
    )
    op.create_table('identity_access_token',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('consumer_id', sa.String(length=64), nullable=False),
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('secret', sa.LargeBinary(), nullable=False),
    sa.Column('expires_at', sa.Float(precision=53), nullable=True),
    sa.Column('role_ids', sa.JSON(), nullable=False),
    sa.ForeignKeyConstraint(['consumer_id'], ['identity_consumer.id'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['project_id'], ['identity_project.id'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['user_id'], ['identity_user.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('identity_access_token', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_access_token_consumer_id'), ['consumer_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_identity_access_token_user_id'), ['user_id'], unique=False)

    op.create_table('identity_application_credential',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('secret_hash', sa.String(length=255), nullable=False),
    sa.Column('expires_at', sa.Float(precision=53), nullable=True),
    sa.Column('unrestricted', sa.Boolean(), nullable=False),
    sa.ForeignKeyConstraint(['project_id'], ['identity_project.id'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['user_id'], ['identity_user.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('user_id', 'name')
    )
    with op.batch_alter_table('identity_application_credential', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_application_credential_project_id'), ['project_id'], unique=False)

    op.create_table('identity_assignment',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('user_id', sa.String(length=64), nullable=True),
    sa.Column('group_id', sa.String(length=64), nullable=True),
    sa.Column('scope', sa.String(length=64), nullable=False),
    sa.Column('scope_id', sa.String(length=64), nullable=True),
    sa.Column('role_id', sa.String(length=64), nullable=False),
    sa.Column('inherited', sa.Boolean(), nullable=False),
    sa.ForeignKeyConstraint(['group_id'], ['identity_group.id'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['role_id'], ['identity_role.id'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['scope_id'], ['identity_project.id'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['user_id'], ['identity_user.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('identity_assignment', schema=None) as batch_op:
        batch_op.create_index('identity_assignment_scope', ['scope_id', 'scope', 'inherited', 'group_id', 'role_id', 'user_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_identity_assignment_group_id'), ['group_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_identity_assignment_role_id'), ['role_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_identity_assignment_user_id'), ['user_id'], unique=False)

    op.create_table('identity_credential',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=True),
    sa.Column('type', sa.String(length=255), nullable=False),
    sa.Column('blob', sa.LargeBinary(), nullable=False),
    sa.Column('extra', sa.JSON(), nullable=False),
    sa.ForeignKeyConstraint(['project_id'], ['identity_project.id'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['user_id'], ['identity_user.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('identity_credential', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_credential_user_id'), ['user_id'], unique=False)

    op.create_table('identity_federation_protocol',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('idp_id', sa.String(length=64), nullable=False),
    sa.Column('mapping_id', sa.String(length=64), nullable=False),
    sa.Column('remote_id_attribute', sa.String(length=64), nullable=True),
    sa.ForeignKeyConstraint(['idp_id'], ['identity_identity_provider.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', 'idp_id')
    )
    with op.batch_alter_table('identity_federation_protocol', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_federation_protocol_idp_id'), ['idp_id'], unique=False)

    op.create_table('identity_former_password',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('password_hash', sa.String(length=255), nullable=False),
    sa.ForeignKeyConstraint(['user_id'], ['identity_user.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id'),
    sqlite_autoincrement=True
    )
    with op.batch_alter_table('identity_former_password', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_former_password_user_id'), ['user_id'], unique=False)

    op.create_table('identity_implied_role',
    sa.Column('prior_id', sa.String(length=64), nullable=False),
    sa.Column('implied_id', sa.String(length=64), nullable=False),
    sa.ForeignKeyConstraint(['implied_id'], ['identity_role.id'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['prior_id'], ['identity_role.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('prior_id', 'implied_id')
    )
    with op.batch_alter_table('identity_implied_role', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_implied_role_implied_id'), ['implied_id'], unique=False)

    op.create_table('identity_limit',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('registered_limit_id', sa.String(length=64), nullable=False),
    sa.Column('owner_id', sa.String(length=64), nullable=False),
    sa.Column('resource_limit', sa.BigInteger(), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['owner_id'], ['identity_project.id'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['registered_limit_id'], ['identity_registered_limit.id'], ),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('registered_limit_id', 'owner_id')
    )
    with op.batch_alter_table('identity_limit', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_limit_owner_id'), ['owner_id'], unique=False)

    op.create_table('identity_membership',
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('group_id', sa.String(length=64), nullable=False),
    sa.ForeignKeyConstraint(['group_id'], ['identity_group.id'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['user_id'], ['identity_user.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('user_id', 'group_id')
    )
    with op.batch_alter_table('identity_membership', schema=None) as batch_op:
        batch_op.create_index('identity_membership_group', ['group_id', 'user_id'], unique=False)

    op.create_table('identity_policy_association',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('endpoint_id', sa.String(length=64), nullable=True),
    sa.Column('service_id', sa.String(length=64), nullable=True),
    sa.Column('region_id', sa.String(length=255), nullable=True),
    sa.Column('policy_id', sa.String(length=64), nullable=False),
    sa.ForeignKeyConstraint(['endpoint_id'], ['identity_endpoint.id'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['policy_id'], ['identity_policy.id'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['region_id'], ['identity_region.id'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['service_id'], ['identity_service.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('identity_policy_association', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_policy_association_endpoint_id'), ['endpoint_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_identity_policy_association_policy_id'), ['policy_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_identity_policy_association_region_id'), ['region_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_identity_policy_association_service_id'), ['service_id'], unique=False)

    op.create_table('identity_project_endpoint',
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('endpoint_id', sa.String(length=64), nullable=False),
    sa.ForeignKeyConstraint(['endpoint_id'], ['identity_endpoint.id'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['project_id'], ['identity_project.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('project_id', 'endpoint_id')
    )
    with op.batch_alter_table('identity_project_endpoint', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_project_endpoint_endpoint_id'), ['endpoint_id'], unique=False)

    op.create_table('identity_remote_id',
    sa.Column('remote_id', sa.String(length=255), nullable=False),
    sa.Column('idp_id', sa.String(length=64), nullable=False),
    sa.ForeignKeyConstraint(['idp_id'], ['identity_identity_provider.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('remote_id')
    )
    with op.batch_alter_table('identity_remote_id', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_remote_id_idp_id'), ['idp_id'], unique=False)

    op.create_table('identity_request_token',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('consumer_id', sa.String(length=64), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('secret', sa.LargeBinary(), nullable=False),
    sa.Column('expires_at', sa.Float(precision=53), nullable=True),
    sa.Column('user_id', sa.String(length=64), nullable=True),
    sa.Column('verifier', sa.LargeBinary(), nullable=True),
    sa.Column('role_ids', sa.JSON(), nullable=False),
    sa.ForeignKeyConstraint(['consumer_id'], ['identity_consumer.id'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['project_id'], ['identity_project.id'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['user_id'], ['identity_user.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('identity_request_token', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_request_token_consumer_id'), ['consumer_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_identity_request_token_expires_at'), ['expires_at'], unique=False)

    op.create_table('identity_trust',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('trustor_user_id', sa.String(length=64), nullable=False),
    sa.Column('trustee_user_id', sa.String(length=64), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=True),
    sa.Column('impersonation', sa.Boolean(), nullable=False),
    sa.Column('expires_at', sa.Float(precision=53), nullable=True),
    sa.Column('remaining_uses', sa.Integer(), nullable=True),
    sa.Column('redelegated_trust_id', sa.String(length=64), nullable=True),
    sa.Column('redelegation_count', sa.Integer(), nullable=False),
    sa.Column('extra', sa.JSON(), nullable=False),
    sa.ForeignKeyConstraint(['project_id'], ['identity_project.id'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['redelegated_trust_id'], ['identity_trust.id'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['trustee_user_id'], ['identity_user.id'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['trustor_user_id'], ['identity_user.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('trustor_user_id', 'trustee_user_id', 'project_id', 'impersonation', 'expires_at', name='identity_trust_once')
    )
    with op.batch_alter_table('identity_trust', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_trust_redelegated_trust_id'), ['redelegated_trust_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_identity_trust_trustee_user_id'), ['trustee_user_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_identity_trust_trustor_user_id'), ['trustor_user_id'], unique=False)

    op.create_table('identity_application_credential_access_rule',
    sa.Column('application_credential_id', sa.String(length=64), nullable=False),
    sa.Column('access_rule_id', sa.String(length=64), nullable=False),
    sa.ForeignKeyConstraint(['access_rule_id'], ['identity_access_rule.id'], ),
    sa.ForeignKeyConstraint(['application_credential_id'], ['identity_application_credential.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('application_credential_id', 'access_rule_id')
    )
    with op.batch_alter_table('identity_application_credential_access_rule', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_application_credential_access_rule_access_rule_id'), ['access_rule_id'], unique=False)

    op.create_table('identity_application_credential_role',
    sa.Column('application_credential_id', sa.String(length=64), nullable=False),
    sa.Column('role_id', sa.String(length=64), nullable=False),
    sa.ForeignKeyConstraint(['application_credential_id'], ['identity_application_credential.id'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['role_id'], ['identity_role.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('application_credential_id', 'role_id')
    )
    op.create_table('identity_federated_user',
    sa.Column('idp_id', sa.String(length=64), nullable=False),
    sa.Column('protocol_id', sa.String(length=64), nullable=False),
    sa.Column('unique_id', sa.String(length=255), nullable=False),
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['protocol_id', 'idp_id'], ['identity_federation_protocol.id', 'identity_federation_protocol.idp_id'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['user_id'], ['identity_user.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('idp_id', 'protocol_id', 'unique_id'),
    sa.UniqueConstraint('user_id', 'position')
    )
    with op.batch_alter_table('identity_federated_user', schema=None) as batch_op:
        batch_op.create_index('identity_federated_user_unique_id', ['unique_id'], unique=False)

    op.create_table('identity_passcode_use',
    sa.Column('credential_id', sa.String(length=64), nullable=False),
    sa.Column('step', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['credential_id'], ['identity_credential.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('credential_id')
    )
    op.create_table('identity_trust_role',
    sa.Column('trust_id', sa.String(length=64), nullable=False),
    sa.Column('role_id', sa.String(length=64), nullable=False),
    sa.ForeignKeyConstraint(['role_id'], ['identity_role.id'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['trust_id'], ['identity_trust.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('trust_id', 'role_id')
    )
