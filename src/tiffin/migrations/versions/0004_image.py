"""image"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'


def upgrade() -> None:
    op.create_table('image',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('owner', sa.String(length=255), nullable=True),
    sa.Column('name', sa.String(length=255), nullable=True),
    sa.Column('status', sa.String(length=255), nullable=False),
    sa.Column('visibility', sa.String(length=255), nullable=False),
    sa.Column('disk_format', sa.String(length=255), nullable=True),
    sa.Column('container_format', sa.String(length=255), nullable=True),
    sa.Column('size', sa.BigInteger(), nullable=True),
    sa.Column('virtual_size', sa.BigInteger(), nullable=True),
    sa.Column('min_disk', sa.Integer(), nullable=False),
    sa.Column('min_ram', sa.Integer(), nullable=False),
    sa.Column('protected', sa.Boolean(), nullable=False),
    sa.Column('os_hidden', sa.Boolean(), nullable=False),
    sa.Column('checksum', sa.String(length=255), nullable=True),
    sa.Column('os_hash_algo', sa.String(length=255), nullable=True),
    sa.Column('os_hash_value', sa.String(length=255), nullable=True),
    sa.Column('stores', sa.JSON(), nullable=False),
    sa.Column('created_at', sa.Float(precision=53), nullable=False),
    sa.Column('updated_at', sa.Float(precision=53), nullable=False),
    sa.Column('tags', sa.JSON(), nullable=False),
    sa.Column('properties', sa.JSON(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('image', schema=None) as batch_op:
        batch_op.create_index('image_created', ['created_at', 'id'], unique=False)
        batch_op.create_index('image_name', ['name'], unique=False)
        batch_op.create_index('image_owner', ['owner', 'created_at'], unique=False)
        batch_op.create_index('image_visibility', ['visibility', 'created_at'], unique=False)

    op.create_table('image_blob',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('image_id', sa.String(length=64), nullable=False),
    sa.Column('store', sa.String(length=255), nullable=False),
    sa.Column('address', sa.Text(), nullable=True),
    sa.Column('role', sa.String(length=255), nullable=False),
    sa.Column('owner', sa.String(length=255), nullable=False),
    sa.Column('expires', sa.Float(precision=53), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('virtual_size', sa.BigInteger(), nullable=True),
    sa.Column('checksum', sa.String(length=255), nullable=True),
    sa.Column('sha512', sa.String(length=255), nullable=True),
    sa.Column('formats', sa.JSON(), nullable=False),
    sa.Column('problem', sa.String(length=255), nullable=True),
    sa.ForeignKeyConstraint(['image_id'], ['image.id'], ),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('image_blob', schema=None) as batch_op:
        batch_op.create_index('image_blob_content', ['sha512', 'store'], unique=False)
        batch_op.create_index('image_blob_image', ['image_id'], unique=False)

    op.create_table('image_member',
    sa.Column('image_id', sa.String(length=64), nullable=False),
    sa.Column('member_id', sa.String(length=255), nullable=False),
    sa.Column('status', sa.String(length=255), nullable=False),
    sa.Column('created_at', sa.Float(precision=53), nullable=False),
    sa.Column('updated_at', sa.Float(precision=53), nullable=False),
    sa.ForeignKeyConstraint(['image_id'], ['image.id'], ),
    sa.PrimaryKeyConstraint('image_id', 'member_id')
    )
    with op.batch_alter_table('image_member', schema=None) as batch_op:
        batch_op.create_index('image_member_member', ['member_id', 'status'], unique=False)

    op.create_table('image_location',
    sa.Column('image_id', sa.String(length=64), nullable=False),
    sa.Column('blob_id', sa.String(length=64), nullable=False),
    sa.Column('metadata', sa.JSON(), nullable=False),
    sa.ForeignKeyConstraint(['blob_id'], ['image_blob.id'], ),
    sa.ForeignKeyConstraint(['image_id'], ['image.id'], ),
    sa.PrimaryKeyConstraint('image_id', 'blob_id')
    )
    with op.batch_alter_table('image_location', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_image_location_blob_id'), ['blob_id'], unique=False)

