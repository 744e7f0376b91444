"""The commands for operators; those of a feature are in its commands.py."""

from importlib import import_module
from pathlib import Path

import click
import orjson
from flask import current_app
from flask.cli import with_appcontext
from flask_migrate import upgrade

from default_config import DevelopmentConfig

from ..core.data.dialects import UNAVAILABLE_ERRORS
from ..core.data.migrations import (
    FOREIGN_SCHEMA_HINT,
    current_revisions,
    missing_objects,
    schema_fault,
    unknown_revisions,
)
from ..core.data.models.redis_model import RedisModel
from ..core.data.models.sql_model import SqlModel
from ..core.data.session import RetryTransaction, sql, unit_of_work
from ..core.errors import ServiceError
from ..core.jobs import schedule
from ..core.observability.metrics import count_job
from ..core.openapi.document import openapi
from ..roles.models import Role, has_admin
from ..users.commands import demo_accounts
from ..users.models import User
from . import archive, schema_gate
from .databases import click_errors
from .doctor import command as doctor
from .openapi_diff import verdict


def init_app(app):
    """Add the commands to `app`, and the models to `flask shell`."""
    app.cli.add_command(init_db)
    app.cli.add_command(deploy)
    app.cli.add_command(purge)
    app.cli.add_command(rebuild_search)
    app.cli.add_command(print_openapi)
    app.cli.add_command(archive.backup)
    app.cli.add_command(archive.restore)
    app.cli.add_command(schema_gate.gate)
    app.cli.add_command(schema_gate.works_with)
    doctor.init_app(app, app.extensions["features"])
    load_tools(app)
    in_sql = [mapper.class_ for mapper in sql.Model.registry.mappers]
    models = {model.__name__: model for model in in_sql + RedisModel.__subclasses__()}
    app.shell_context_processor(lambda: {"sql": sql, **models})


def load_tools(app):
    """Add the commands for developers, if they are installed."""
    root = Path(app.root_path).parent
    if app.config["CONFIG_NAME"] != "production" and (root / "tools").is_dir():
        import_module("tools").init_app(app)


@click.command("init-db")
@with_appcontext
def init_db():
    """Create the tables, and add the demo data to an empty database."""
    run_migrations()
    demos = {}
    for feature in current_app.extensions["features"]:
        demos |= feature.demos
    with unit_of_work():
        Role.ensure_builtin_roles()
        if sql.session.scalar(sql.select(User.id).limit(1)) is None:
            accounts = demo_accounts(current_app.config)
            owners = [User.create(*account).id for account in accounts]
            for fill in demos.values() if owners else ():
                fill(owners[0])
        for model in (User, *demos):
            count = sql.session.scalar(sql.select(sql.func.count(model.id)))
            click.echo(f"{count} {model.__tablename__}")


@click.command()
@with_appcontext
def deploy():
    """Update the database: migrations, built-in roles, the first admin.

    If no account has all permissions, AUTH_USERNAME1 with AUTH_PASSWORD1 becomes the first
    admin, except with the demo password. If a newer release has migrated the database, it
    is left unchanged.
    """
    if not run_migrations():
        return
    name = current_app.config["AUTH_USERNAME1"]
    password = current_app.config["AUTH_PASSWORD1"]
    if password == DevelopmentConfig.AUTH_PASSWORD1:
        name = None
    with unit_of_work():
        Role.ensure_builtin_roles()
        if has_admin():
            click.echo("Ready.")
        elif name and password:
            user = User.find(name)
            if user:
                user.update(user.username, role="admin")
            else:
                User.create(name, password, role="admin")
            click.echo(f"Ready. {name} is the first admin.")
        else:
            click.echo("Ready, without an admin: flask adduser NAME --role admin")


@click.command()
@with_appcontext
def purge():
    """Run every periodic task once, for example from cron if no worker runs."""
    has_failed = False
    for name, sweep in schedule.periodic_tasks().items():
        try:
            with count_job(name):
                outcome = sweep.run()
        except (*UNAVAILABLE_ERRORS, RetryTransaction, ServiceError) as error:
            outcome, has_failed = f"failed: {type(error).__name__}", True
        click.echo(f"{name}: {outcome or 'nothing to do'}")
    if has_failed:
        raise SystemExit(1)


@click.command("rebuild-search")
@with_appcontext
def rebuild_search():
    """Rebuild the text that the query parameter `q` searches.

    Run it after a text property was added or removed. The service can run meanwhile.
    """
    for mapper in sql.Model.registry.mappers:
        if issubclass(mapper.class_, SqlModel):
            with click_errors():
                count = mapper.class_.rebuild_search()
            click.echo(f"{count} {mapper.class_.__tablename__}")


@click.command("openapi")
@click.option(
    "--against",
    type=click.File("rb"),
    help="A former document, or - for standard input: report what breaks its clients.",
)
@with_appcontext
def print_openapi(against):
    """Print the OpenAPI 3.1 document of the service.

    With --against, report breaking changes on standard error instead. The exit code is 1 if
    the version does not allow them.
    """
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    current = orjson.dumps(openapi(current_app), option=options)
    if against is None:
        click.echo(
            current, nl=False
        )  # bytes, because the encoding of the terminal may not be UTF-8
        return
    try:
        former = verdict.read_document(against.read())
        lines, allowed = verdict.judge(former, verdict.read_document(current))
    except ValueError as error:
        raise click.ClickException(f"The former document {error}") from None
    click.echo("\n".join(lines), err=True)
    if not allowed:
        raise SystemExit(1)


def run_migrations():
    """Run the migrations. Return False if a newer release has migrated the database.

    Raises ClickException if this release cannot work with that database.
    """
    with click_errors():
        ahead = unknown_revisions(current_revisions())
        if ahead and (missing := missing_objects()):
            raise click.ClickException(
                f"The database is at {', '.join(ahead)}, which this release does not know, "
                f"and lacks {', '.join(missing)}. To fix it: {FOREIGN_SCHEMA_HINT}."
            )
        if ahead:
            click.echo(
                f"The database is at {', '.join(ahead)}, which this release does not know: "
                "a newer release has migrated it. It is left unchanged."
            )
        else:
            upgrade()
            if fault := schema_fault():
                raise click.ClickException(fault)
    return not ahead
