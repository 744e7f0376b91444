"""Write the migration and openapi.json of a new feature, in a copy of the project.

`python -m tools.new_feature.migration books` imports, maps and documents the feature; if that
fails, the feature does not work. No database is needed: the migration is rendered from the
table of the model.
"""

import sys
from pathlib import Path

from alembic.autogenerate import render_python_code
from alembic.operations import ops
from alembic.script import ScriptDirectory
from alembic.util import rev_id

from myapp import create_app
from myapp.core import sql
from myapp.core.data.alembic_hooks import render_item
from myapp.core.data.migrations import migrate


def write_migration(table):
    """Write the migration that creates `table`."""
    indexes = sorted(table.indexes, key=lambda index: index.name)
    created = ops.CreateTableOp.from_table(table)
    operations = [created, *map(ops.CreateIndexOp.from_index, indexes)]
    scripts = ScriptDirectory.from_config(migrate.get_config())
    scripts.generate_revision(
        rev_id(),
        table.name.replace("_", " ").capitalize(),
        upgrades=render(operations),
        downgrades=render([ops.DropTableOp.from_table(table)]),
        imports="from sqlalchemy.dialects import mysql",
    )


def render(operations):
    return render_python_code(ops.UpgradeOps(operations), render_item=render_item)


def main(name):
    app = create_app("development")
    document = app.test_cli_runner().invoke(args=["openapi"], catch_exceptions=False)
    Path("openapi.json").write_bytes(document.stdout_bytes)
    if name in sql.metadata.tables:
        with app.app_context():
            write_migration(sql.metadata.tables[name])


if __name__ == "__main__":
    main(sys.argv[1])
