"""`{prefix}/account`: the account of the caller."""

from flask import g

from ..core import (
    FeatureApi,
    Resource,
    accepts,
    accepts_patch,
    apply_merge_patch,
    check_preconditions,
    error_responses,
    requires,
    responds_no_content,
    responds_with,
)
from ..roles.models import last_admin_guard
from ..users.models import User
from .models import Account

GONE = {404: "The account was deleted less than a second ago."}
REASONS = {**GONE, 409: "The username is taken."}

account = FeatureApi("account", "Your own account.")


@account.route("/")
class MyAccount(Resource):
    @requires()
    @error_responses(GONE)
    @responds_with(Account)
    def get(self):
        """Read your account."""
        return User.get_or_404(g.caller.id, **User.not_deleted)

    @requires()
    @error_responses(REASONS)
    @accepts(Account)
    @responds_with(Account)
    def put(self, body):
        """Replace your account; without a password, yours is kept."""
        user = User.lock_or_404(g.caller.id, **User.not_deleted)
        check_preconditions(user, Account)
        return Account.change(user, **body)

    @requires()
    @error_responses(REASONS)
    @accepts_patch(Account)
    @responds_with(Account)
    def patch(self, patch):
        """Change your username or your password."""
        user = User.lock_or_404(g.caller.id, **User.not_deleted)
        check_preconditions(user, Account)
        return Account.change(user, **apply_merge_patch(user, patch, Account))

    @requires()
    @error_responses({**GONE, 409: "This is the last account with all permissions."})
    @responds_no_content
    def delete(self):
        """Delete your account."""
        with last_admin_guard():
            user = User.lock_or_404(g.caller.id, **User.not_deleted)
            check_preconditions(user, Account)
            user.delete()
