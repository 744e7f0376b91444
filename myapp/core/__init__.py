"""The names that features may import; everything else in core is private."""

from .data.batches import delete_in_batches, in_batches
from .data.models.child import Below
from .data.models.columns import KEY, MOMENT, now
from .data.models.owned import Governed, Owned
from .data.models.pages import EVERYTHING
from .data.models.redis_model import RedisModel
from .data.models.row import Row
from .data.models.schema_model import ID, Described
from .data.models.sql_model import SqlModel
from .data.models.urls import collection_url
from .data.redis import redis_store
from .data.session import Changed, sql, unit_of_work
from .data.statements import insert_all, prepared
from .errors import (
    Conflict,
    Forbidden,
    Invalid,
    InvalidReference,
    Malformed,
    NotFound,
    Problem,
    ServiceError,
    fault,
)
from .events import happened, tell
from .http.crud import CrudResource
from .http.exports import ENCODERS, answers_csv, exports
from .http.feature_api import FeatureApi
from .http.idempotency import idempotent
from .http.pagination import paged
from .http.preconditions import must_match
from .http.query import queried
from .http.requests import accepts, accepts_patch, merged
from .http.resource import Resource
from .http.responses import NO_STORE, answers, answers_file, answers_nothing
from .http.tabular import reader, sample
from .http.uploads import Upload, media_type_of, receives
from .jobs.celery_app import send
from .jobs.schedule import every
from .jobs.task import task
from .jobs.worker import check_worker
from .observability.checks import (
    advice,
    check,
    check_body_limit,
    check_folder,
    in_production,
    wrong,
    wrong_in_production,
)
from .observability.health import check_database, check_migrations, check_redis
from .schema.fields import (
    BIGGEST,
    choice,
    day,
    flag,
    integer,
    moment,
    number,
    optional,
    reading,
    reference,
    text,
    writing,
)
from .schema.operation import refuses
from .schema.serialization import dumps
from .schema.validation import Body
from .security.authentication import (
    Account,
    forget_accounts,
    guard,
    named_account,
    unauthorized,
)
from .security.passwords import hashed, verified
from .security.permissions import PERMISSIONS, requires, requires_refresh_token
from .security.tokens import ACCESS, REFRESH, REFRESH_TTL

__all__ = [
    "accepts",
    "accepts_patch",
    "ACCESS",
    "Account",
    "advice",
    "answers",
    "answers_csv",
    "answers_file",
    "answers_nothing",
    "Below",
    "BIGGEST",
    "Body",
    "Changed",
    "check",
    "check_body_limit",
    "check_database",
    "check_folder",
    "check_migrations",
    "check_redis",
    "check_worker",
    "choice",
    "collection_url",
    "Conflict",
    "CrudResource",
    "day",
    "delete_in_batches",
    "Described",
    "dumps",
    "ENCODERS",
    "every",
    "EVERYTHING",
    "exports",
    "fault",
    "FeatureApi",
    "flag",
    "Forbidden",
    "forget_accounts",
    "Governed",
    "guard",
    "happened",
    "hashed",
    "ID",
    "idempotent",
    "in_batches",
    "in_production",
    "insert_all",
    "integer",
    "Invalid",
    "InvalidReference",
    "KEY",
    "Malformed",
    "media_type_of",
    "merged",
    "MOMENT",
    "moment",
    "must_match",
    "named_account",
    "NO_STORE",
    "NotFound",
    "now",
    "number",
    "optional",
    "Owned",
    "paged",
    "PERMISSIONS",
    "prepared",
    "Problem",
    "queried",
    "reader",
    "reading",
    "receives",
    "redis_store",
    "RedisModel",
    "reference",
    "REFRESH",
    "REFRESH_TTL",
    "refuses",
    "requires",
    "requires_refresh_token",
    "Resource",
    "Row",
    "sample",
    "send",
    "ServiceError",
    "sql",
    "SqlModel",
    "task",
    "tell",
    "text",
    "unauthorized",
    "unit_of_work",
    "Upload",
    "verified",
    "writing",
    "wrong",
    "wrong_in_production",
]
