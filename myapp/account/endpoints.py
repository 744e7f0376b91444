"""`{prefix}/account`: my own account."""

from flask import g

from ..core import (
    FeatureApi,
    Resource,
    accepts,
    accepts_patch,
    answers,
    answers_nothing,
    merged,
    must_match,
    refuses,
    requires,
)
from ..roles.models import an_admin_stays
from ..users.models import User
from .models import Account

GONE = {404: "It was deleted less than a second ago."}
REASONS = {**GONE, 409: "The username is taken."}

account = FeatureApi("account", "My own account.")


@account.route("/")
class MyAccount(Resource):
    @requires()
    @refuses(GONE)
    @answers(Account)
    def get(self):
        """Read your account."""
        return User.get_or_404(g.caller.id, **User.existing)

    @requires()
    @refuses(REASONS)
    @accepts(Account)
    @answers(Account)
    def put(self, body):
        """Replace your account; a password that is left out stays."""
        found = User.lock_or_404(g.caller.id, **User.existing)
        must_match(found, Account)
        return Account.change(found, **body)

    @requires()
    @refuses(REASONS)
    @accepts_patch(Account)
    @answers(Account)
    def patch(self, patch):
        """Change your name or your password."""
        found = User.lock_or_404(g.caller.id, **User.existing)
        must_match(found, Account)
        return Account.change(found, **merged(found, patch, Account))

    @requires()
    @refuses({**GONE, 409: "Nobody would be left who may do everything."})
    @answers_nothing
    def delete(self):
        """Delete your account."""
        with an_admin_stays():
            found = User.lock_or_404(g.caller.id, **User.existing)
            must_match(found, Account)
            found.delete()
