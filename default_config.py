"""Settings and their defaults: a class for each environment, chosen by FLASK_CONFIG.

A feature has its settings in its own `settings.py`. `instance/config.py` overrides all of
these, and `MYAPP_<NAME>` in the environment or in `.env` overrides both. The
type of a setting is the type of its default, or text if that is None. `flask reference`
writes docs/settings.md and .env.example from the comments here.
"""


class Config:
    # Secrets and tokens
    SECRET_KEY = None  # key for hashes of request bodies; required in production
    JWT_SECRET_KEY = None  # key that signs tokens; required in production
    JWT_FORMER_SECRET_KEYS = []  # former keys, which still verify tokens
    JWT_ISSUER = "myapp"  # issuer in tokens; each deployment needs its own
    JWT_TTL = 15  # minutes until an access token expires

    # Stores
    SQLALCHEMY_DATABASE_URI = None  # database; by default SQLite in `instance/`
    SQLALCHEMY_REPLICA_URIS = []  # streaming replicas of PostgreSQL, to read from
    REPLICA_MAX_LAG = 5  # seconds that a replica may be behind, at least 3
    REDIS_URL = None  # Redis or Valkey; by default an embedded server
    BROKER_URL = None  # Redis for tasks, not a Cluster; by default REDIS_URL

    # HTTP
    API_PREFIX = "/api/v1"  # prefix of the features' addresses; may be empty
    CORS_ORIGINS = []  # origins whose pages may send requests from a browser; * for any
    MAX_CONTENT_LENGTH = 1024 * 1024  # bytes of a request body
    REQUIRE_IF_MATCH = False  # whether changes without If-Match are refused with 428
    TRUSTED_PROXIES = 0  # proxies in front; X-Forwarded-… of so many is trusted
    PORT = 5000  # port of the development server

    # Sign-in and limits
    USE_TOKEN_AUTH = False  # whether HTTP Basic is accepted only at auth/request-token
    USE_RATE_LIMITS = False  # whether requests are limited, per account or address
    RATE_LIMIT = "5 per 15 seconds"  # requests that an account or address may send

    # Accounts that `flask init-db` creates; `flask deploy` makes the first one an admin
    AUTH_USERNAME1 = None  # name of the first account
    AUTH_PASSWORD1 = None  # its password
    AUTH_USERNAME2 = None  # name of the second account
    AUTH_PASSWORD2 = None  # its password


class DevelopmentConfig(Config):
    SECRET_KEY = "known to everybody, good for nothing but development"
    JWT_SECRET_KEY = "as well known, and good for nothing but development"
    AUTH_USERNAME1 = "pythonista"
    AUTH_PASSWORD1 = "I<3testing"
    AUTH_USERNAME2 = "engineer"
    AUTH_PASSWORD2 = "Muh5devices"


class TestingConfig(DevelopmentConfig):
    TESTING = True


class ProductionConfig(Config):
    pass


CONFIGS = {
    "development": DevelopmentConfig,
    "testing": TestingConfig,
    "production": ProductionConfig,
}
