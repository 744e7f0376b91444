"""Permissions, and the decorators that require them."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, Protocol, TypeVar

from flask import Flask, g, request

from ..errors import DefinitionError, Forbidden
from ..schema.operation import document_operation, problem_spec
from . import rate_limit
from .authentication import authenticate_request, authenticator, unauthorized
from .tokens import REFRESH_TOKEN_TYPE

P = ParamSpec("P")
R = TypeVar("R")

# The permissions of all features; filled by `declare_permissions`, and always the same
# list.
PERMISSIONS: list[str] = []


class FeatureWithPermissions(Protocol):
    """The attributes of a FeatureApi that are used here."""

    owned: bool
    permissions: tuple[str, ...]


def declare_permissions(features: Sequence[FeatureWithPermissions]) -> None:
    """Collect the permissions of the features, those for owned records first."""
    owned_first = sorted(features, key=lambda feature: not feature.owned)
    PERMISSIONS[:] = [name for feature in owned_first for name in feature.permissions]


def check_verbs(app: Flask) -> None:
    """Raise DefinitionError for a verb that says nothing about who may call it, or that
    requires a permission which no feature declares."""
    for function in app.view_functions.values():
        view = getattr(function, "view_class", None)
        for method in getattr(view, "methods", None) or ():
            verb = getattr(view, method.lower(), None)
            name = f"{verb.__module__}.{verb.__qualname__}" if verb else ""
            required = getattr(verb, "required_permissions", None)
            if verb and required is None and not hasattr(verb, "is_public"):
                raise DefinitionError(f"{name} needs @requires() or @public.")
            if unknown := set(required or ()) - set(PERMISSIONS):
                names = ", ".join(sorted(unknown))
                raise DefinitionError(
                    f"{name} requires {names}, which no FeatureApi declares."
                )


def requires(
    *permissions: str, basic_only: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Require an account that has all these permissions; `g.caller` is the account.

    Raises 401 without valid credentials, 403 without a permission, and 429 after too many
    failed logins. `basic_only`: accept HTTP Basic only, no token.
    """

    def decorator(verb: Callable[P, R]) -> Callable[P, R]:
        @wraps(verb)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            g.caller = authenticate_request(basic_only)
            if not g.caller.permissions.issuperset(permissions):
                raise Forbidden
            return verb(*args, **kwargs)

        setattr(wrapper, "required_permissions", permissions)
        schemes: list[dict[str, list[str]]] = [{"basic": []}]
        if not basic_only:
            schemes.append({"bearer": []})
        responses = {
            "401": problem_spec("The credentials are missing or wrong."),
            "429": problem_spec("Too many failed login attempts."),
        }
        if permissions:
            needed = " and ".join(f"`{name}`" for name in permissions)
            responses["403"] = problem_spec(f"This requires {needed}.")
        return document_operation(
            wrapper, security=schemes, responses=responses, decorator="requires"
        )

    return decorator


def public(verb: Callable[P, R]) -> Callable[P, R]:
    """Open a verb to requests without credentials.

    Each verb has `requires` or `public`, so that none is open by mistake.
    """
    setattr(verb, "is_public", True)
    return document_operation(verb, decorator="public")


def requires_refresh_token(verb: Callable[..., R]) -> Callable[..., R]:
    """Require a valid refresh token; pass its claims to the verb as `claims`."""

    @wraps(verb)
    def wrapper(*args: Any, **kwargs: Any) -> R:
        sent = request.authorization
        claims = None
        if sent is not None and sent.type == "bearer" and sent.token:
            claims = authenticator().tokens.read(REFRESH_TOKEN_TYPE, sent.token)
        rate_limit.count_call()
        if not claims:
            raise unauthorized()
        return verb(*args, claims=claims, **kwargs)

    setattr(wrapper, "required_permissions", ())
    return document_operation(
        wrapper,
        decorator="requires_refresh_token",
        security=[{"refresh": []}],
        responses={
            "401": problem_spec("The refresh token is missing, invalid or used.")
        },
    )
