"""The service: `create_app`, and the FEATURES that it mounts.

Every folder here is a feature, except `core`, which features are built from, and `ops`,
the commands for operators.
"""

from .ops import startup  # before all other imports

# isort: split
from .account import account
from .audit import audit
from .auth import auth
from .auth.models import account_by_session as by_session
from .core import application
from .core.settings import SettingError
from .devices import devices
from .imports import imports
from .ops import commands
from .ops.doctor import command as doctor
from .ops.doctor.packages import is_doctor_command
from .presence import presence
from .roles import roles
from .status import status
from .todos import todos
from .users import users
from .users.models import account_by_username as by_username
from .users.models import save_rehashed
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
        if not is_doctor_command():
            raise
        doctor.init_app(app, features, error)
        return app  # with no other command, and the doctor reports the error
    application.assemble(app, features, (by_username, by_session, save_rehashed))
    commands.init_app(app)
    return app
