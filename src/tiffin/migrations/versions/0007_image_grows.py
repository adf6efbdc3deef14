"""image grows"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'


def upgrade() -> None:
    op.create_table('metadef_namespace',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('namespace', sa.String(length=255), nullable=False),
    sa.Column('display_name', sa.String(length=255), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('visibility', sa.String(length=255), nullable=False),
    sa.Column('protected', sa.Boolean(), nullable=False),
    sa.Column('owner', sa.String(length=255), nullable=True),
    sa.Column('created_at', sa.Float(precision=53), nullable=False),
    sa.Column('updated_at', sa.Float(precision=53), nullable=False),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('namespace')
    )
    with op.batch_alter_table('metadef_namespace', schema=None) as batch_op:
        batch_op.create_index('metadef_namespace_created', ['created_at', 'namespace'], unique=False)
        batch_op.create_index('metadef_namespace_owner', ['owner', 'created_at'], unique=False)
        batch_op.create_index('metadef_namespace_visibility', ['visibility', 'created_at'], unique=False)

    op.create_table('metadef_resource_type',
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('created_at', sa.Float(precision=53), nullable=False),
    sa.Column('updated_at', sa.Float(precision=53), nullable=False),
    sa.PrimaryKeyConstraint('name')
    )
    op.create_table('metadef_association',
    sa.Column('namespace_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('prefix', sa.String(length=255), nullable=True),
    sa.Column('properties_target', sa.String(length=255), nullable=True),
    sa.Column('created_at', sa.Float(precision=53), nullable=False),
    sa.Column('updated_at', sa.Float(precision=53), nullable=False),
    sa.ForeignKeyConstraint(['name'], ['metadef_resource_type.name'], ),
    sa.ForeignKeyConstraint(['namespace_id'], ['metadef_namespace.id'], ),
    sa.PrimaryKeyConstraint('namespace_id', 'name')
    )
    with op.batch_alter_table('metadef_association', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_metadef_association_name'), ['name'], unique=False)

    op.create_table('metadef_object',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('namespace_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('required', sa.JSON(), nullable=False),
    sa.Column('properties', sa.JSON(), nullable=False),
    sa.Column('created_at', sa.Float(precision=53), nullable=False),
    sa.Column('updated_at', sa.Float(precision=53), nullable=False),
    sa.ForeignKeyConstraint(['namespace_id'], ['metadef_namespace.id'], ),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('namespace_id', 'name')
    )
    op.create_table('metadef_property',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('namespace_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('definition', sa.JSON(), nullable=False),
    sa.Column('created_at', sa.Float(precision=53), nullable=False),
    sa.Column('updated_at', sa.Float(precision=53), nullable=False),
    sa.ForeignKeyConstraint(['namespace_id'], ['metadef_namespace.id'], ),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('namespace_id', 'name')
    )
    op.create_table('metadef_tag',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('namespace_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('created_at', sa.Float(precision=53), nullable=False),
    sa.Column('updated_at', sa.Float(precision=53), nullable=False),
    sa.ForeignKeyConstraint(['namespace_id'], ['metadef_namespace.id'], ),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('namespace_id', 'name')
    )
