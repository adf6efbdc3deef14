"""hosts are emptied"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0013'
down_revision = '0012'


def upgrade() -> None:
    with op.batch_alter_table('compute_host', schema=None) as batch_op:
        batch_op.add_column(sa.Column('maintenance', sa.String(length=255), nullable=True))

    with op.batch_alter_table('migration', schema=None) as batch_op:
        batch_op.add_column(sa.Column('request_id', sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column('emptying', sa.Boolean(), server_default=sa.false(), nullable=False))
