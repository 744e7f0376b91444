"""The names that features may import; everything else in core is private."""

from .data.batches import delete_in_batches, in_batches
from .data.models.child import ChildOf
from .data.models.columns import BIGINT_ID, TIMESTAMP, now
from .data.models.owned import Owned, PermissionScoped
from .data.models.pages import ALL_RECORDS
from .data.models.redis_model import RedisModel
from .data.models.row import Row
from .data.models.schema_model import ID, SchemaModel
from .data.models.sql_model import SqlModel
from .data.models.urls import collection_url
from .data.redis import redis_store
from .data.session import RetryTransaction, sql, unit_of_work
from .data.statements import compiled_query, insert_all
from .errors import (
    Conflict,
    DefinitionError,
    Forbidden,
    Invalid,
    InvalidReference,
    Malformed,
    NotFound,
    Problem,
    ServiceError,
    ValueTaken,
    fault,
)
from .events import emit_security_event, security_event
from .http.crud import CrudResource, action
from .http.exports import ENCODERS, exports, responds_csv
from .http.feature_api import FeatureApi
from .http.idempotency import idempotent
from .http.pagination import paginated
from .http.preconditions import check_preconditions
from .http.query import query_params
from .http.requests import accepts, accepts_patch, apply_merge_patch
from .http.resource import Resource
from .http.responses import NO_STORE, responds_file, responds_no_content, responds_with
from .http.tabular import example_file, row_reader
from .http.uploads import Upload, accepts_upload, detect_media_type
from .jobs.celery_app import enqueue
from .jobs.schedule import periodic_task
from .jobs.task import task
from .jobs.worker import check_worker
from .observability.checks import (
    Error,
    Ok,
    Warning,
    check,
    check_body_limit,
    check_folder,
)
from .observability.health import check_database, check_migrations, check_redis
from .schema.fields import (
    MAX_INT64,
    boolean,
    date,
    date_time,
    enum,
    integer,
    number,
    optional,
    reference,
    request_schema,
    response_schema,
    text,
)
from .schema.operation import error_responses
from .schema.serialization import dumps
from .schema.validation import BodyValidator
from .security.authentication import (
    Account,
    authenticator,
    clear_account_cache,
    require_account,
    unauthorized,
)
from .security.passwords import hash_password, verify_password
from .security.permissions import (
    PERMISSIONS,
    public,
    requires,
    requires_refresh_token,
)
from .security.tokens import ACCESS_TOKEN_TYPE, REFRESH_TOKEN_TYPE, REFRESH_TTL_SECONDS
