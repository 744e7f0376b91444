"""Back up MariaDB with mariadb-dump, and restore with mariadb."""

import shutil
import tempfile
from contextlib import ExitStack, nullcontext
from pathlib import Path
from subprocess import PIPE

import click
from sqlalchemy import text

from ...core.data.dialects import LOCK_TIMEOUT_SECONDS
from ...core.data.session import sql, unit_of_work
from ..copy_database import error_message
from .tools import (
    CHUNK_BYTES,
    VERSION_TABLE,
    connect_params,
    on_one_line,
    pack,
    run_tool,
    table_names,
    zstd,
)


def dump_mariadb(packed, _folder):
    """Write the tables to a file, as SQL."""
    options = ["--single-transaction", "--quick", "--skip-add-locks"]
    with run_mariadb("mariadb-dump", *options, stdout=PIPE) as process:
        shutil.copyfileobj(process.stdout, packed, CHUNK_BYTES)


def load_mariadb(packed, tables):
    """Replace the tables by those in a file; on failure, restore the former ones."""
    folder = Path(tempfile.mkdtemp(prefix="myapp-restore-"))
    before = folder / "before.sql.zst"
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        if tables:
            pack(before, dump_mariadb)
        try:
            replace_tables(packed)
            with unit_of_work(writes=False):
                sql.session.execute(text(f"SELECT version_num FROM {VERSION_TABLE}"))
        except BaseException as error:
            try:
                with zstd.open(before) if tables else nullcontext() as former:
                    replace_tables(former)
            except Exception:
                stack.pop_all()  # keep the copy
                raise click.ClickException(
                    f"{on_one_line(error_message(error))} The former content could not be "
                    f"restored either; it is in {before}."
                ) from None
            raise


def replace_tables(packed):
    """Drop all tables, and create those of a dump, unless it is None."""
    quoted = sql.engine.dialect.identifier_preparer.quote_identifier
    if names := ", ".join(map(quoted, table_names())):
        with sql.engine.connect() as connection:
            connection.detach()  # so that it is not reused with these settings
            setting = (
                f"SET SESSION lock_wait_timeout = {LOCK_TIMEOUT_SECONDS}, "
                "foreign_key_checks = 0"
            )
            connection.execute(text(setting))
            connection.exec_driver_sql(f"DROP TABLE {names}")
    if packed:
        with run_mariadb("mariadb", stdin=PIPE) as process:
            shutil.copyfileobj(packed, process.stdin, CHUNK_BYTES)


def run_mariadb(program, *options, **pipes):
    """Run a MariaDB tool on the database, as `run_tool` does.

    The tools verify the certificate of the server completely or not at all.
    """
    params = connect_params()
    tls = {n.removeprefix("ssl_"): v for n, v in params.items() if n.startswith("ssl_")}
    checked = tls.get("verify_cert") or tls.get("verify_identity")
    if isinstance(params.get("ssl"), dict):
        tls = params["ssl"]
        checked = {"ca", "capath"} & set(tls) and tls.get("check_hostname", True)
    arguments = {
        "host": params.get("host"),
        "port": params.get("port"),
        "user": params.get("user"),
        "socket": params.get("unix_socket"),
        "protocol": "socket" if params.get("unix_socket") else "tcp",
        **{f"ssl-{n}": tls.get(n) for n in ("ca", "capath", "cert", "key", "cipher")},
    }
    command = [
        *(program, "--no-defaults", "--default-character-set=utf8mb4"),
        *(f"--{name}={value}" for name, value in arguments.items() if value),
        *(["--ssl"] if tls else []),
        "--ssl-verify-server-cert" if checked else "--skip-ssl-verify-server-cert",
        *(*options, params["database"]),
    ]
    return run_tool(command, {"MYSQL_PWD": params.get("password") or ""}, **pipes)
