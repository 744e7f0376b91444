"""Roles, accounts, sessions, their audit trail; and devices"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "6995f0431e3f"
down_revision = None
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def text(length):
    """Return a text type that compares characters, independent of the locale."""
    return sa.String(length).with_variant(
        sa.String(length, collation="C"), "postgresql"
    )


def create_table(name, *columns):
    """Create a table with the columns of every model, and these."""
    op.create_table(
        name,
        sa.Column("id", KEY, nullable=False),
        *columns,
        sa.Column("search", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{name}"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_nopad_bin",
        sqlite_autoincrement=True,
    )


def create_index(table, *columns):
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns)


def upgrade():
    create_table(
        "roles",
        sa.Column("title", text(64), nullable=False),
        sa.Column("title_key", sa.String(192), nullable=False),
        sa.Column("default", sa.Boolean(), nullable=False),
        sa.Column("permissions", sa.JSON(), nullable=False),
        sa.UniqueConstraint("title_key", name="uq_roles_title_key"),
    )
    create_table(
        "users",
        sa.Column("username", text(64), nullable=False),
        sa.Column("name_key", sa.String(64), nullable=True),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("role_id", KEY, nullable=False),
        sa.Column("status", text(16), nullable=False),
        sa.Column("last_login_at", MOMENT, nullable=True),
        sa.Column("last_login_ip", sa.String(45), nullable=True),
        sa.Column("deleted_at", MOMENT, nullable=True),
        sa.UniqueConstraint("name_key", name="uq_users_name_key"),
        sa.ForeignKeyConstraint(["role_id"], ["roles.id"], name="fk_users_role_id"),
    )
    create_index("users", "role_id")
    create_index("users", "deleted_at")
    create_table(
        "sessions",
        sa.Column("user_id", KEY, nullable=False),
        sa.Column("address", text(45), nullable=False),
        sa.Column("agent", text(200), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("serial", sa.Integer(), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_sessions_user_id", ondelete="CASCADE"
        ),
    )
    create_index("sessions", "user_id")
    create_index("sessions", "expires_at")
    create_table(
        "audit",
        sa.Column("action", text(64), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("actor", text(64), nullable=False),
        sa.Column("address", text(45), nullable=True),
        sa.Column("request_id", text(64), nullable=True),
        sa.Column("details", text(250), nullable=True),
    )
    create_table(
        "devices",
        sa.Column("owner_id", KEY, nullable=False),
        sa.Column("name", text(64), nullable=False),
        sa.Column("location", text(64), nullable=False),
        sa.Column("type", text(64), nullable=False),
        sa.Column("model", text(64), nullable=False),
        sa.Column("serial_number", text(64), nullable=False),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name="fk_devices_owner_id", ondelete="CASCADE"
        ),
    )
    create_index("devices", "owner_id", "id")
    for name in ("name", "location", "type", "model", "serial_number"):
        create_index("devices", "owner_id", name, "id")
    for name in ("created_at", "updated_at"):
        create_index("devices", "owner_id", name, "id")


def downgrade():
    for table in ("devices", "audit", "sessions", "users", "roles"):
        op.drop_table(table)
