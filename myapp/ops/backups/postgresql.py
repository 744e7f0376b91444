"""Back up PostgreSQL with pg_dump, and restore with pg_restore and psql."""

import shutil
from subprocess import DEVNULL, PIPE

from psycopg.pq import Conninfo
from sqlalchemy import func, select

from ...core.data.session import sql, unit_of_work
from .tools import PIECE, WITNESS, parameters, tool


def dump_postgresql(packed, _folder):
    schema = f'--schema="{schema_name()}"'
    command = ["pg_dump", "--format=custom", "--compress=0", "--no-password", schema]
    with tool(command, libpq(), stdout=PIPE) as process:
        shutil.copyfileobj(process.stdout, packed, PIECE)


def load_postgresql(packed, tables):
    schema = schema_name()
    quoted = sql.engine.dialect.identifier_preparer.quote_identifier
    own = quoted(schema)
    drops = [f"DROP TABLE {own}.{quoted(name)} CASCADE;\n" for name in tables]
    told = ["--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse", "--no-password"]
    restored = ["--no-owner", "--no-privileges", "--no-comments", f"--schema={schema}"]
    psql = ["psql", "--no-psqlrc", "--quiet", *told]
    with tool(psql, libpq(), stdin=PIPE, stdout=DEVNULL) as target:
        target.stdin.write("".join(["BEGIN;\n", *drops]).encode())
        target.stdin.flush()
        pg_restore = ["pg_restore", *restored, "--file=-"]
        with tool(pg_restore, {}, stdin=PIPE, stdout=target.stdin) as script:
            shutil.copyfileobj(packed, script.stdin, PIECE)
        # Only now: without it, psql goes and leaves everything as it was.
        end = f"SELECT version_num FROM {own}.{WITNESS};\nCOMMIT;\n"
        target.stdin.write(end.encode())


def schema_name():
    with unit_of_work(writes=False):
        return sql.session.scalar(select(func.current_schema()))


def libpq():
    """What PostgreSQL's tools are to connect with, as environment."""
    given = parameters()
    return {
        option.envvar.decode(): str(given[option.keyword.decode()])
        for option in Conninfo.get_defaults()
        if option.envvar and given.get(option.keyword.decode()) is not None
    }
