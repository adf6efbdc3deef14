"""compute grows"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0009'
down_revision = '0008'


def upgrade() -> None:
    op.create_table('host_agent',
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('address', sa.String(length=255), nullable=False),
    sa.Column('key_digest', sa.String(length=64), nullable=False),
    sa.Column('joined_at', sa.Float(precision=53), nullable=False),
    sa.Column('certified_at', sa.Float(precision=53), nullable=False),
    sa.PrimaryKeyConstraint('name')
    )
    op.create_table('host_token',
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('host', sa.String(length=255), nullable=True),
    sa.Column('created_at', sa.Float(precision=53), nullable=False),
    sa.Column('expires_at', sa.Float(precision=53), nullable=False),
    sa.Column('used_by', sa.String(length=255), nullable=True),
    sa.PrimaryKeyConstraint('digest')
    )
    op.create_table('migration',
    sa.Column('number', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('server_id', sa.String(length=64), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('kind', sa.String(length=255), nullable=False),
    sa.Column('status', sa.String(length=255), nullable=False),
    sa.Column('source', sa.String(length=255), nullable=False),
    sa.Column('source_node', sa.String(length=255), nullable=True),
    sa.Column('source_zone', sa.String(length=255), nullable=True),
    sa.Column('dest', sa.String(length=255), nullable=True),
    sa.Column('dest_node', sa.String(length=255), nullable=True),
    sa.Column('dest_zone', sa.String(length=255), nullable=True),
    sa.Column('old_size', sa.JSON(), nullable=False),
    sa.Column('new_size', sa.JSON(), nullable=False),
    sa.Column('old_vm_state', sa.String(length=255), nullable=False),
    sa.Column('created_at', sa.Float(precision=53), nullable=False),
    sa.Column('updated_at', sa.Float(precision=53), nullable=True),
    sa.Column('settled', sa.Boolean(), nullable=False),
    sa.PrimaryKeyConstraint('number'),
    sa.UniqueConstraint('id'),
    sqlite_autoincrement=True
    )
    with op.batch_alter_table('migration', schema=None) as batch_op:
        batch_op.create_index('migration_created', ['created_at'], unique=False)
        batch_op.create_index('migration_of_server', ['server_id', 'settled'], unique=False)

    with op.batch_alter_table('compute_host', schema=None) as batch_op:
        batch_op.add_column(sa.Column('hypervisor_version', sa.BigInteger(), server_default='0', nullable=False))
        batch_op.add_column(sa.Column('failed_builds', sa.Integer(), server_default='0', nullable=False))

    with op.batch_alter_table('server', schema=None) as batch_op:
        batch_op.create_index('server_alive', ['created_at'], unique=False, sqlite_where=sa.text('deleted_at IS NULL'), postgresql_where=sa.text('deleted_at IS NULL'))
        batch_op.create_index('server_busy', ['task_state', 'host'], unique=False, sqlite_where=sa.text('task_state IS NOT NULL'), postgresql_where=sa.text('task_state IS NOT NULL'))

