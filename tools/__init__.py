"""Commands for developers. They are in the repository, but not on a server."""

from . import reference, remove_examples, rename_project
from .development import commands as development
from .new_feature import command as new_feature


def init_app(app):
    """Add these commands to `app`."""
    app.cli.add_command(new_feature.new_feature)
    app.cli.add_command(rename_project.rename_project)
    app.cli.add_command(remove_examples.remove_examples)
    app.cli.add_command(reference.reference)
    development.init_app(app)
