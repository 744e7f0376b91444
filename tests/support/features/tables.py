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


def create_sample_table(name, *columns, fields, scope=("owner_id", "users")):
    """Create a table, with an index for each field of the records.

    `scope`: the column that each record belongs to, and the table that this refers to.
    """
    scoped, first = [], [scope[0]] if scope else []
    if scope:
        column, other = scope
        key = {"ondelete": "CASCADE", "name": f"fk_{name}_{column}"}
        scoped.append(sa.Column(column, ID, nullable=False))
        scoped.append(sa.ForeignKeyConstraint([column], [f"{other}.id"], **key))
    op.create_table(
        name,
        sa.Column("id", ID, nullable=False),
        *scoped,
        *columns,
        sa.Column("search", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("updated_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{name}"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_nopad_bin",
        sqlite_autoincrement=True,
    )
    for field in ("id", *fields, "created_at", "updated_at"):
        indexed = [*first, *dict.fromkeys([field, "id"])]
        if indexed != ["id"]:  # the primary key
            op.create_index(f"ix_{name}_{'_'.join(indexed)}", name, indexed)


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
    create_sample_table(
        "sample_labels",
        sa.Column("name", sample_text(64), nullable=False),
        sa.Column("colour", sample_text(4), nullable=False),
        sa.Column("retired_at", TIMESTAMP, nullable=True),
        sa.UniqueConstraint("name", name="uq_sample_labels_name"),
        fields=("name", "colour"),
        scope=None,
    )
    create_sample_table(
        "sample_notes",
        sa.Column("content", sample_text(250), nullable=False),
        fields=("content",),
        scope=("sample_gadget", "sample_gadgets"),
    )


def drop_sample_tables():
    op.drop_table("sample_notes")
    op.drop_table("sample_labels")
    op.drop_table("sample_files")
    op.drop_table("sample_chores")
    op.drop_table("sample_gadgets")
