"""several controllers"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0011'
down_revision = '0010'


def upgrade() -> None:
    op.create_table('controller',
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('node', sa.String(length=255), nullable=False),
    sa.Column('address', sa.String(length=255), nullable=False),
    sa.Column('network', sa.String(length=255), nullable=False),
    sa.Column('hosts', sa.JSON(), nullable=False),
    sa.PrimaryKeyConstraint('name')
    )
