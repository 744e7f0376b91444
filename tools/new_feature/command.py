"""`flask new-feature`: endpoints, models, tests, a migration, a line in FEATURES."""

import click
from flask import current_app
from flask.cli import with_appcontext

from .feature import Slice
from .project import PACKAGE
from .writing import told_in_a_sentence, write


@click.command("new-feature")
@click.argument("name")
@click.argument("fields", nargs=-1, metavar="PROPERTY:TYPE...")
@click.option("--store", type=click.Choice(["sql", "redis"]), default="sql")
@click.option("--open", "shared", is_flag=True, help="Without owners: for everybody.")
@click.option("--parent", metavar="FEATURE", help="Below whose things these are.")
@click.option("--singular", metavar="WORD", help="What one of them is called.")
@with_appcontext
def new_feature(name, fields, store, shared, parent, singular):
    """Write a feature: endpoints, models, tests, a migration, its line in FEATURES.

    NAME is a plural, as `books`; then its properties, as title:string:120
    pages:integer:1..5000 isbn:string? published:date. Types: string, text, integer,
    number, boolean, date, datetime, enum (state:enum:new,used), reference
    (author:reference:authors). A `?` makes one optional, `:unique` lets nobody have the
    same one twice.

    What is in Redis is gone a day after it last changed. What hangs below a thing, or must
    name one, goes with it.
    """
    features = {feature.name for feature in current_app.extensions["features"]}
    slice = Slice(name, fields, store, shared, parent, singular, features)
    with told_in_a_sentence():
        write(slice)
    said = "" if singular else f" One of them is {slice.one}; say --singular if not."
    click.echo(f"{PACKAGE.name}/{name}/ is there.{said} Next:")
    if slice.owned or not slice.redis:
        click.echo("  flask deploy     # its table, its permissions")
    click.echo(f'  make test ARGS="-k {name}"')
    click.echo("  git add --all; make lint")
    click.echo(f"Its page is {current_app.config['API_PREFIX']}/{name}/docs")
