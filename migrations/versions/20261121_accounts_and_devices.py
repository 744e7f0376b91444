"""Accounts and devices"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "6995f0431e3f"
down_revision = None
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
TEXT = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")
OPTIONS = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_nopad_bin",
    "sqlite_autoincrement": True,
}
INDEXED = (
    "name",
    "location",
    "type",
    "model",
    "serial_number",
    "created_at",
    "updated_at",
)


def upgrade():
    op.create_table(
        "users",
        sa.Column("id", KEY, nullable=False),
        sa.Column("username", TEXT, nullable=False),
        sa.Column("name_key", sa.String(64), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("search", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("name_key", name="uq_users_name_key"),
        **OPTIONS,
    )
    op.create_table(
        "devices",
        sa.Column("id", KEY, nullable=False),
        sa.Column("owner_id", KEY, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("location", TEXT, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("model", TEXT, nullable=False),
        sa.Column("serial_number", TEXT, nullable=False),
        sa.Column("search", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["owner_id"],
            ["users.id"],
            name="fk_devices_owner_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_devices"),
        **OPTIONS,
    )
    op.create_index("ix_devices_owner_id_id", "devices", ["owner_id", "id"])
    for name in INDEXED:
        op.create_index(
            f"ix_devices_owner_id_{name}_id", "devices", ["owner_id", name, "id"]
        )


def downgrade():
    op.drop_table("devices")
    op.drop_table("users")
