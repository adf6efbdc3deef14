"""live moves"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0012'
down_revision = '0011'


def upgrade() -> None:
    with op.batch_alter_table('migration', schema=None) as batch_op:
        batch_op.add_column(sa.Column('wish', sa.String(length=255), nullable=True))
        batch_op.add_column(sa.Column('progress', sa.JSON(), nullable=True))

