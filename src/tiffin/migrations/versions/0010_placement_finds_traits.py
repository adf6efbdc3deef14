"""placement finds traits"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0010'
down_revision = '0009'


def upgrade() -> None:
    with op.batch_alter_table('provider_trait', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_provider_trait_trait'), ['trait'], unique=False)

