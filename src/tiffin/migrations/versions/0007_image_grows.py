"""image grows"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'


def upgrade() -> None:
    op.create_table('image_cache_queue',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('image_id', sa.String(length=64), nullable=False),
    sa.Column('queued_at', sa.Float(precision=53), nullable=False),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('image_id')
    )
