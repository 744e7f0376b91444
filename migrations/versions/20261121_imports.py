"""Imports"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "e8a15f3b6c20"
down_revision = "c4d90b7f1a35"
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


FILTERS = (
    *("name", "media_type", "dry_run", "status", "processed", "created", "rejected"),
    *("created_at", "updated_at"),
)


def upgrade():
    op.create_table(
        "imports",
        sa.Column("id", KEY, nullable=False),
        sa.Column("owner_id", KEY, nullable=False),
        sa.Column("name", text(255), nullable=True),
        sa.Column("media_type", text(32), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("status", text(8), nullable=False),
        sa.Column("processed", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=True),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("rejected", sa.BigInteger(), nullable=False),
        sa.Column("errors", sa.JSON(), nullable=False),
        sa.Column("file", sa.String(32), nullable=True),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("worker", sa.String(36), nullable=True),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("search", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name="fk_imports_owner_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_imports"),
        sqlite_autoincrement=True,
        **OPTIONS,
    )
    for name in ("file", "due_at"):
        op.create_index(f"ix_imports_{name}", "imports", [name])
    op.create_index("ix_imports_owner_id_id", "imports", ["owner_id", "id"])
    for name in FILTERS:
        op.create_index(
            f"ix_imports_owner_id_{name}_id", "imports", ["owner_id", name, "id"]
        )
    op.create_table(
        "import_faults",
        sa.Column("import_id", KEY, nullable=False),
        sa.Column("row", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("number", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("pointer", sa.String(255), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["import_id"],
            ["imports.id"],
            name="fk_import_faults_import_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("import_id", "row", "number", name="pk_import_faults"),
        **OPTIONS,
    )


def downgrade():
    op.drop_table("import_faults")
    op.drop_table("imports")
