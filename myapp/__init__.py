"""The service: `create_app`, and the FEATURES that it mounts.

Every folder here is a feature, except `core`, which features are built from, and `ops`,
the commands for operators.
"""

from .ops import startup  # before all other imports

# isort: split
from .account import account
from .audit import audit
from .auth import auth
from .auth.models import look_up as by_session
from .core import application
from .core.settings import SettingError
from .devices import devices
from .imports import imports
from .ops import commands
from .ops.doctor import command as doctor
from .ops.doctor.packages import is_called
from .presence import presence
from .roles import roles
from .status import status
from .todos import todos
from .users import users
from .users.models import keep_hash
from .users.models import look_up as by_username
from .version import __version__  # noqa: F401

startup.finish()

FEATURES = (
    status,
    auth,
    account,
    users,
    roles,
    audit,
    devices,
    imports,
    presence,
    todos,
)


def create_app(config=None, *, features=FEATURES, **overrides):
    """Return the application.

    `config`: development, testing or production; by default FLASK_CONFIG, else production,
    or development where the command `flask` runs. `features`: the FeatureApis to mount.
    `overrides`: settings that take precedence over all others. Raises SettingError.
    """
    app = application.new_application(__name__)
    try:
        application.configure(app, features, config, overrides)
    except (Exception, SettingError) as error:
        if not is_called():
            raise
        return doctor.doctor_only_app(app, features, error)
    application.assemble(app, features, (by_username, by_session, keep_hash))
    commands.init_app(app)
    return app
