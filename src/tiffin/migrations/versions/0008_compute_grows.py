"""compute grows"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0008'
down_revision = '0007'


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
