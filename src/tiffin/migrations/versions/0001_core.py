"""core"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0001'
down_revision = None


def upgrade() -> None:
    op.create_table('change',
    sa.Column('sequence', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('at', sa.Float(precision=53), nullable=False),
    sa.Column('request_id', sa.String(length=64), nullable=False),
    sa.Column('actor_id', sa.String(length=64), nullable=True),
    sa.Column('project_id', sa.String(length=64), nullable=True),
    sa.Column('resource_type', sa.String(length=64), nullable=False),
    sa.Column('resource_id', sa.String(length=255), nullable=False),
    sa.Column('kind', sa.String(length=64), nullable=False),
    sa.Column('before', sa.JSON(), nullable=True),
    sa.Column('after', sa.JSON(), nullable=True),
    sa.Column('via', sa.JSON(), nullable=True),
    sa.PrimaryKeyConstraint('sequence'),
    sqlite_autoincrement=True
    )
    with op.batch_alter_table('change', schema=None) as batch_op:
        batch_op.create_index('change_login', ['at'], unique=False, sqlite_where=sa.text("kind = 'authenticate'"), postgresql_where=sa.text("kind = 'authenticate'"))
        batch_op.create_index('change_resource', ['resource_type', 'resource_id'], unique=False)

    op.create_table('fact',
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('value', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('name')
    )
    op.create_table('idempotent_answer',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('fingerprint', sa.String(length=64), nullable=False),
    sa.Column('at', sa.Float(precision=53), nullable=False),
    sa.Column('answer', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('idempotent_answer', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_idempotent_answer_at'), ['at'], unique=False)

    op.create_table('lifecycle',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('kind', sa.String(length=64), nullable=False),
    sa.Column('resource_id', sa.String(length=64), nullable=False),
    sa.Column('step', sa.String(length=64), nullable=False),
    sa.Column('frame', sa.JSON(), nullable=False),
    sa.Column('wake', sa.Float(precision=53), nullable=True),
    sa.Column('lease', sa.Float(precision=53), nullable=False),
    sa.Column('owner', sa.String(length=255), nullable=True),
    sa.Column('turn', sa.BigInteger(), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('deadline', sa.Float(precision=53), nullable=True),
    sa.Column('request_id', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('kind', 'resource_id')
    )
    with op.batch_alter_table('lifecycle', schema=None) as batch_op:
        batch_op.create_index('lifecycle_due', ['wake'], unique=False)

    op.create_table('lifecycle_request',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('lifecycle_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('args', sa.JSON(), nullable=False),
    sa.Column('request_id', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('id'),
    sqlite_autoincrement=True
    )
    with op.batch_alter_table('lifecycle_request', schema=None) as batch_op:
        batch_op.create_index('lifecycle_request_of', ['lifecycle_id'], unique=False)

    op.create_table('quota_limit',
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('service', sa.String(length=32), nullable=False),
    sa.Column('resource', sa.String(length=64), nullable=False),
    sa.Column('hard_limit', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('project_id', 'service', 'resource')
    )
