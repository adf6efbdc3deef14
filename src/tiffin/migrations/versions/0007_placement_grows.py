"""placement grows"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'


def upgrade() -> None:
    with op.batch_alter_table('inventory', schema=None) as batch_op:
        batch_op.add_column(sa.Column('used', sa.BigInteger(), server_default='0', nullable=False))

    op.execute(
        "UPDATE inventory SET used = (SELECT COALESCE(SUM(allocation.used), 0) FROM allocation WHERE "
        "allocation.provider_id = inventory.provider_id AND allocation.resource_class = inventory.resource_class)"
    )
