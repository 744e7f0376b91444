"""When a device was last seen; and which accounts were deleted, quickly found"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "c4d90b7f1a35"
down_revision = "b1c2a7d05e44"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade():
    op.add_column("devices", sa.Column("last_seen_at", MOMENT, nullable=True))
    deleted = sa.text("deleted_at IS NOT NULL")
    op.create_index(
        "ix_users_deleted_at",
        "users",
        ["deleted_at"],
        postgresql_where=deleted,
        sqlite_where=deleted,
    )


def downgrade():
    op.drop_index("ix_users_deleted_at", "users")
    op.drop_column("devices", "last_seen_at")
