"""Back up PostgreSQL with pg_dump, and restore with pg_restore and psql."""

import shutil
from subprocess import DEVNULL, PIPE

from psycopg.pq import Conninfo
from sqlalchemy import func, select

from ...core.data.session import sql, unit_of_work
from .tools import CHUNK_BYTES, VERSION_TABLE, connect_params, run_tool


def dump_postgresql(packed, _folder):
    """Write the schema of the service to a file, in the custom format of pg_dump."""
    schema = f'--schema="{schema_name()}"'
    command = ["pg_dump", "--format=custom", "--compress=0", "--no-password", schema]
    with run_tool(command, libpq_environment(), stdout=PIPE) as process:
        shutil.copyfileobj(process.stdout, packed, CHUNK_BYTES)


def load_postgresql(packed, tables):
    """Replace the tables by those in a file, in one transaction."""
    schema = schema_name()
    quoted = sql.engine.dialect.identifier_preparer.quote_identifier
    own = quoted(schema)
    drops = [f"DROP TABLE {own}.{quoted(name)} CASCADE;\n" for name in tables]
    psql_options = ["--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse", "--no-password"]
    restore_options = [
        "--no-owner",
        "--no-privileges",
        "--no-comments",
        f"--schema={schema}",
    ]
    psql = ["psql", "--no-psqlrc", "--quiet", *psql_options]
    with run_tool(psql, libpq_environment(), stdin=PIPE, stdout=DEVNULL) as target:
        target.stdin.write("".join(["BEGIN;\n", *drops]).encode())
        target.stdin.flush()
        pg_restore = ["pg_restore", *restore_options, "--file=-"]
        with run_tool(pg_restore, {}, stdin=PIPE, stdout=target.stdin) as script:
            shutil.copyfileobj(packed, script.stdin, CHUNK_BYTES)
        # Commit only after pg_restore has succeeded; without it, psql rolls back.
        end = f"SELECT version_num FROM {own}.{VERSION_TABLE};\nCOMMIT;\n"
        target.stdin.write(end.encode())


def schema_name():
    """Return the name of the schema that holds the tables."""
    with unit_of_work(writes=False):
        return sql.session.scalar(select(func.current_schema()))


def libpq_environment():
    """Return the environment variables that tell libpq how to connect."""
    params = connect_params()
    return {
        option.envvar.decode(): str(params[option.keyword.decode()])
        for option in Conninfo.get_defaults()
        if option.envvar and params.get(option.keyword.decode()) is not None
    }
