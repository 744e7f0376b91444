"""Back up MariaDB with mariadb-dump, and restore with mariadb."""

import shutil
import tempfile
from contextlib import ExitStack, nullcontext
from pathlib import Path
from subprocess import PIPE

import click
from sqlalchemy import text

from ...core.data.dialects import PATIENCE
from ...core.data.session import sql, unit_of_work
from ..copy_database import said
from .tools import PIECE, WITNESS, in_line, pack, parameters, tables, tool, zstd


def dump_mariadb(packed, _folder):
    how = ["--single-transaction", "--quick", "--skip-add-locks"]
    with mariadb("mariadb-dump", *how, stdout=PIPE) as process:
        shutil.copyfileobj(process.stdout, packed, PIECE)


def load_mariadb(packed, tables):
    folder = Path(tempfile.mkdtemp(prefix="myapp-restore-"))
    before = folder / "before.sql.zst"
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        if tables:
            pack(before, dump_mariadb)
        try:
            fill_mariadb(packed)
            with unit_of_work(writes=False):
                sql.session.execute(text(f"SELECT version_num FROM {WITNESS}"))
        except BaseException as error:
            try:
                with zstd.open(before) if tables else nullcontext() as former:
                    fill_mariadb(former)
            except Exception:
                stack.pop_all()  # the copy stays
                raise click.ClickException(
                    f"{in_line(said(error))} It could not be put back either: what was "
                    f"there is in {before}."
                ) from None
            raise


def fill_mariadb(packed):
    """Drop all tables; make those of a dump, unless it is None."""
    quoted = sql.engine.dialect.identifier_preparer.quote_identifier
    if there := ", ".join(map(quoted, tables())):
        with sql.engine.connect() as connection:
            connection.detach()  # nobody else gets it with these settings
            patience = (
                f"SET SESSION lock_wait_timeout = {PATIENCE}, foreign_key_checks = 0"
            )
            connection.execute(text(patience))
            connection.exec_driver_sql(f"DROP TABLE {there}")
    if packed:
        with mariadb("mariadb", stdin=PIPE) as process:
            shutil.copyfileobj(packed, process.stdin, PIECE)


def mariadb(program, *options, **pipes):
    """One of MariaDB's tools on our database, as `tool` yields it.

    What the driver checks of a certificate they check wholly or not at all.
    """
    given = parameters()
    tls = {n.removeprefix("ssl_"): v for n, v in given.items() if n.startswith("ssl_")}
    checked = tls.get("verify_cert") or tls.get("verify_identity")
    if isinstance(given.get("ssl"), dict):
        tls = given["ssl"]
        checked = {"ca", "capath"} & set(tls) and tls.get("check_hostname", True)
    named = {
        "host": given.get("host"),
        "port": given.get("port"),
        "user": given.get("user"),
        "socket": given.get("unix_socket"),
        "protocol": "socket" if given.get("unix_socket") else "tcp",
        **{f"ssl-{n}": tls.get(n) for n in ("ca", "capath", "cert", "key", "cipher")},
    }
    command = [
        *(program, "--no-defaults", "--default-character-set=utf8mb4"),
        *(f"--{name}={value}" for name, value in named.items() if value),
        *(["--ssl"] if tls else []),
        "--ssl-verify-server-cert" if checked else "--skip-ssl-verify-server-cert",
        *(*options, given["database"]),
    ]
    return tool(command, {"MYSQL_PWD": given.get("password") or ""}, **pipes)
