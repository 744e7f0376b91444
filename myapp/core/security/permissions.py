"""Permissions, and the decorators that require them."""

from functools import wraps

from flask import g, request

from ..errors import Forbidden
from ..schema.operation import describes, problem_response
from . import rate_limit
from .authentication import caller, guard, unauthorized
from .tokens import REFRESH

PERMISSIONS = []  # of all features; filled by `declare`, and always the same list


def declare(features):
    """Collect the permissions that the features declare: those of owned records first."""
    owned_first = sorted(features, key=lambda feature: not feature.owned)
    PERMISSIONS[:] = [name for feature in owned_first for name in feature.permissions]


def check(app):
    """Raise ValueError where a verb requires a permission that no feature declares."""
    for endpoint, function in app.view_functions.items():
        view = getattr(function, "view_class", None)
        for method in getattr(view, "methods", None) or ():
            required = getattr(getattr(view, method.lower()), "guarded", None) or ()
            if unknown := set(required) - set(PERMISSIONS):
                raise ValueError(f"{endpoint} requires {unknown}: no such permission")


def requires(*permissions, basic_only=False):
    """Let in only callers who hold all these permissions; the verb finds the account as
    `g.caller`. `basic_only`: a token is no way in here."""

    def decorator(verb):
        @wraps(verb)
        def wrapper(*args, **kwargs):
            g.caller = caller(basic_only)
            if not g.caller.permissions.issuperset(permissions):
                raise Forbidden
            return verb(*args, **kwargs)

        wrapper.guarded = permissions
        ways = [{"basic": []}] if basic_only else [{"basic": []}, {"bearer": []}]
        responses = {
            "401": problem_response("No credentials, or wrong ones."),
            "429": problem_response("Too many wrong passwords; see Retry-After."),
        }
        if permissions:
            needed = " and ".join(f"`{name}`" for name in permissions)
            responses["403"] = problem_response(f"You need {needed}.")
        return describes(wrapper, security=ways, responses=responses)

    return decorator


def requires_refresh_token(verb):
    """Let in only who sends a refresh token of ours; the verb gets its `claims`."""

    @wraps(verb)
    def wrapper(*args, **kwargs):
        sent = request.authorization
        bearer = sent is not None and sent.type == "bearer" and sent.token
        claims = bearer and guard().tokens.read(REFRESH, sent.token)
        rate_limit.count()
        if not claims:
            raise unauthorized()
        return verb(*args, claims=claims, **kwargs)

    wrapper.guarded = ()
    return describes(
        wrapper,
        security=[{"refresh": []}],
        responses={"401": problem_response("No refresh token, or a spent one.")},
    )
