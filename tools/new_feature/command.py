"""`flask new-feature`: write endpoints, models, tests and a migration."""

import click
from flask import current_app
from flask.cli import with_appcontext

from .feature import Feature
from .project import PACKAGE
from .writing import explain_os_errors, write


@click.command("new-feature")
@click.argument("name")
@click.argument("fields", nargs=-1, metavar="PROPERTY:TYPE...")
@click.option("--store", type=click.Choice(["sql", "redis"]), default="sql")
@click.option("--open", "is_open", is_flag=True, help="Records have no owner.")
@click.option(
    "--parent", metavar="FEATURE", help="Each record belongs to one of FEATURE."
)
@click.option("--singular", metavar="WORD", help="The name of one record.")
@click.option("--explicit", is_flag=True, help="Write the five verbs out.")
@with_appcontext
def new_feature(name, fields, **options):
    """Write a feature: endpoints, models, tests, a migration, its line in FEATURES.

    NAME is a plural, as `books`; then its properties, as title:string:120
    pages:integer:1..5000 isbn:string? published:date. Types: string, text, integer,
    number, boolean, date, datetime, enum (state:enum:new,used), reference
    (author:reference:authors). `?` makes a property optional; `:unique` refuses a second
    record of the same owner with the same value.

    Records in Redis expire one day after their last change. A record is deleted with its
    parent, and with any record that it must refer to.
    """
    feature = Feature(name, fields, **options)
    with explain_os_errors():
        write(feature)
    hint = (
        "" if options["singular"] else f" One record is {feature.one} (see --singular)."
    )
    click.echo(f"Created {PACKAGE}/{name}/.{hint} Next:")
    if feature.owned or not feature.redis:
        click.echo("  flask deploy     # create its table, its permissions")
    click.echo(f'  make test ARGS="-k {name}"')
    click.echo("  git add --all; make lint")
    click.echo(f"Documentation: {current_app.config['API_PREFIX']}/{name}/docs")
