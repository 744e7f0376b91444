"""Roles, accounts and sessions; first answers to idempotency keys"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0a5e1f0c7d21"
down_revision = None
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
OPTIONS = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_nopad_bin"}


def text(length):
    """Compared by its characters, whatever the server's locale."""
    return sa.String(length).with_variant(
        sa.String(length, collation="C"), "postgresql"
    )


# An index for each order in which pages come; a single column is not enough for that.
ORDERS = {
    "users": ("username", "created_at", "updated_at"),
    "roles": ("title",),
    "sessions": ("user_id",),
}


def create_table(name, *columns):
    """A table with what every model has, and these columns."""
    op.create_table(
        name,
        sa.Column("id", KEY, nullable=False),
        *columns,
        sa.Column("search", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{name}"),
        sqlite_autoincrement=True,
        **OPTIONS,
    )


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
    op.create_table(
        "idempotency",
        sa.Column("account_id", KEY, nullable=False, autoincrement=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("headers", sa.JSON(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("account_id", "key", name="pk_idempotency"),
        **OPTIONS,
    )
    op.create_index("ix_idempotency_created_at", "idempotency", ["created_at"])
    op.create_index("ix_users_role_id", "users", ["role_id"])
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])
    for table, names in ORDERS.items():
        for name in names:
            op.create_index(f"ix_{table}_{name}_id", table, [name, "id"])
    deleted = sa.text("deleted_at IS NOT NULL")
    op.create_index(
        "ix_users_deleted_at",
        "users",
        ["deleted_at"],
        postgresql_where=deleted,
        sqlite_where=deleted,
    )


def downgrade():
    for table in ("idempotency", "sessions", "users", "roles"):
        op.drop_table(table)
