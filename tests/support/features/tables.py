"""The tables of the sample features, as a migration creates them.

`support.migrations` appends this text to the newest migration, so it imports nothing of the
tests and nothing of the project.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIMESTAMP = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
GADGET_TEXTS = "name", "location", "type", "model", "serial_number"
FILE_FIELDS = "name", "media_type", "status", "lines"
CHORE_FIELDS = "name", "task", "done", "due_at", "gadget"


def sample_text(length):
    binary = sa.String(length, collation="C")
    return sa.String(length).with_variant(binary, "postgresql")


def create_sample_table(name, *columns, fields):
    """Create a table of owned records, with an index for each field of the records."""
    owner = {"ondelete": "CASCADE", "name": f"fk_{name}_owner_id"}
    op.create_table(
        name,
        sa.Column("id", ID, nullable=False),
        sa.Column("owner_id", ID, nullable=False),
        *columns,
        sa.Column("search", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("updated_at", TIMESTAMP, nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], **owner),
        sa.PrimaryKeyConstraint("id", name=f"pk_{name}"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_nopad_bin",
        sqlite_autoincrement=True,
    )
    op.create_index(f"ix_{name}_owner_id_id", name, ["owner_id", "id"])
    for field in (*fields, "created_at", "updated_at"):
        index = f"ix_{name}_owner_id_{field}_id"
        op.create_index(index, name, ["owner_id", field, "id"])


def create_sample_tables():
    texts = [sa.Column(n, sample_text(64), nullable=False) for n in GADGET_TEXTS]
    create_sample_table("sample_gadgets", *texts, fields=GADGET_TEXTS)
    create_sample_table(
        "sample_chores",
        sa.Column("name", sample_text(64), nullable=False),
        sa.Column("task", sample_text(250), nullable=False),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.Column("due_at", TIMESTAMP, nullable=False),
        sa.Column("gadget", ID, nullable=True),
        sa.ForeignKeyConstraint(
            ["gadget"],
            ["sample_gadgets.id"],
            name="fk_sample_chores_gadget",
            ondelete="SET NULL",
        ),
        fields=CHORE_FIELDS,
    )
    op.create_index("ix_sample_chores_gadget", "sample_chores", ["gadget"])
    create_sample_table(
        "sample_files",
        sa.Column("name", sample_text(255), nullable=True),
        sa.Column("media_type", sample_text(20), nullable=False),
        sa.Column("status", sample_text(6), nullable=False),
        sa.Column("lines", sa.BigInteger(), nullable=False),
        sa.Column("file", sa.String(32), nullable=True),
        fields=FILE_FIELDS,
    )


def drop_sample_tables():
    op.drop_table("sample_files")
    op.drop_table("sample_chores")
    op.drop_table("sample_gadgets")
