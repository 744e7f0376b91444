"""To-dos, and the first answers to idempotency keys"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "b1c2a7d05e44"
down_revision = "6995f0431e3f"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
OPTIONS = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_nopad_bin"}


def text(length):
    """Return a text type that compares characters, independent of the locale."""
    return sa.String(length).with_variant(
        sa.String(length, collation="C"), "postgresql"
    )


# An index for each order in which pages come; a single column is not enough for that.
ORDERS = {
    "users": ("username", "created_at", "updated_at"),
    "roles": ("title",),
    "audit": ("created_at", "account_id"),
    "sessions": ("user_id",),
}
SINGLE = {"users": "deleted_at", "sessions": "user_id"}


def upgrade():
    op.create_table(
        "todos",
        sa.Column("id", KEY, nullable=False),
        sa.Column("owner_id", KEY, nullable=False),
        sa.Column("name", text(64), nullable=False),
        sa.Column("task", text(250), nullable=False),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.Column("device", KEY, nullable=True),
        sa.Column("search", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name="fk_todos_owner_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["device"], ["devices.id"], name="fk_todos_device", ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_todos"),
        sqlite_autoincrement=True,
        **OPTIONS,
    )
    op.create_index("ix_todos_device", "todos", ["device"])
    op.create_index("ix_todos_owner_id_id", "todos", ["owner_id", "id"])
    for name in ("name", "task", "done", "due_at", "device"):
        op.create_index(
            f"ix_todos_owner_id_{name}_id", "todos", ["owner_id", name, "id"]
        )
    for name in ("created_at", "updated_at"):
        op.create_index(
            f"ix_todos_owner_id_{name}_id", "todos", ["owner_id", name, "id"]
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
    for table, names in ORDERS.items():
        for name in names:
            op.create_index(f"ix_{table}_{name}_id", table, [name, "id"])
    for table, name in SINGLE.items():
        op.drop_index(f"ix_{table}_{name}", table)


def downgrade():
    for table, name in SINGLE.items():
        op.create_index(f"ix_{table}_{name}", table, [name])
    for table, names in ORDERS.items():
        for name in names:
            op.drop_index(f"ix_{table}_{name}_id", table)
    op.drop_table("idempotency")
    op.drop_table("todos")
