"""placement"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'


def upgrade() -> None:
    op.create_table('consumer',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('type', sa.String(length=255), nullable=False),
    sa.Column('generation', sa.BigInteger(), nullable=False),
    sa.Column('created_at', sa.Float(precision=53), nullable=False),
    sa.Column('updated_at', sa.Float(precision=53), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('consumer', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_consumer_project_id'), ['project_id'], unique=False)

    op.create_table('placement_custom_name',
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('created_at', sa.Float(precision=53), nullable=False),
    sa.PrimaryKeyConstraint('kind', 'name')
    )
    op.create_table('resource_provider',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('generation', sa.BigInteger(), nullable=False),
    sa.Column('parent_id', sa.String(length=64), nullable=True),
    sa.Column('root_id', sa.String(length=64), nullable=False),
    sa.Column('created_at', sa.Float(precision=53), nullable=False),
    sa.Column('updated_at', sa.Float(precision=53), nullable=False),
    sa.ForeignKeyConstraint(['parent_id'], ['resource_provider.id'], ),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('name')
    )
    with op.batch_alter_table('resource_provider', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_resource_provider_root_id'), ['root_id'], unique=False)

    op.create_table('allocation',
    sa.Column('consumer_id', sa.String(length=64), nullable=False),
    sa.Column('provider_id', sa.String(length=64), nullable=False),
    sa.Column('resource_class', sa.String(length=255), nullable=False),
    sa.Column('used', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['consumer_id'], ['consumer.id'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['provider_id'], ['resource_provider.id'], ),
    sa.PrimaryKeyConstraint('consumer_id', 'provider_id', 'resource_class')
    )
    with op.batch_alter_table('allocation', schema=None) as batch_op:
        batch_op.create_index('allocation_provider', ['provider_id', 'resource_class'], unique=False)

    op.create_table('inventory',
    sa.Column('provider_id', sa.String(length=64), nullable=False),
    sa.Column('resource_class', sa.String(length=255), nullable=False),
    sa.Column('total', sa.BigInteger(), nullable=False),
    sa.Column('reserved', sa.BigInteger(), nullable=False),
    sa.Column('min_unit', sa.BigInteger(), nullable=False),
    sa.Column('max_unit', sa.BigInteger(), nullable=False),
    sa.Column('step_size', sa.BigInteger(), nullable=False),
    sa.Column('allocation_ratio', sa.Double(), nullable=False),
    sa.ForeignKeyConstraint(['provider_id'], ['resource_provider.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('provider_id', 'resource_class')
    )
    op.create_table('provider_aggregate',
    sa.Column('provider_id', sa.String(length=64), nullable=False),
    sa.Column('aggregate_id', sa.String(length=64), nullable=False),
    sa.ForeignKeyConstraint(['provider_id'], ['resource_provider.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('provider_id', 'aggregate_id')
    )
    op.create_table('provider_trait',
    sa.Column('provider_id', sa.String(length=64), nullable=False),
    sa.Column('trait', sa.String(length=255), nullable=False),
    sa.ForeignKeyConstraint(['provider_id'], ['resource_provider.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('provider_id', 'trait')
    )
