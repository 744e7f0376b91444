"""The settings: a class for each environment, chosen by FLASK_CONFIG.

A feature has settings of its own in its `settings.py`. `instance/config.py` overrides all
of them, and `MYAPP_<NAME>` in the environment or in `.env` overrides both. The
type of a setting is the type of its default.
"""


class Config:
    SECRET_KEY = None  # signs what the service hands out for itself to read
    JWT_SECRET_KEY = None  # signs access tokens
    JWT_FORMER_SECRET_KEYS = []  # those before; their tokens hold good until they die
    JWT_ISSUER = "myapp"  # another deployment has another one
    JWT_TTL = 15  # minutes that an access token lives
    SQLALCHEMY_DATABASE_URI = None  # None: SQLite in the instance folder
    SQLALCHEMY_REPLICA_URIS = []  # PostgreSQL's streaming replicas, to read from
    REPLICA_MAX_LAG = 5  # seconds; a replica further behind is left out; at least 3
    REDIS_URL = None  # None: the embedded server, on a socket in the instance folder
    BROKER_URL = None  # where tasks wait, if not there; a Cluster cannot carry them
    API_PREFIX = "/api/v1"  # where the slices hang; "" is allowed
    CORS_ORIGINS = []  # other origins that may call from a browser; ["*"] for any
    USE_TOKEN_AUTH = False  # True: Basic works at auth/request-token alone
    USE_RATE_LIMITS = False  # whether to count calls, per account or address
    RATE_LIMIT = "5 per 15 seconds"
    REQUIRE_IF_MATCH = False  # True: changing a thing without If-Match is refused
    MAX_CONTENT_LENGTH = 1024 * 1024  # bytes of a request's body
    AUTH_USERNAME1 = None  # the two demo accounts
    AUTH_PASSWORD1 = None
    AUTH_USERNAME2 = None
    AUTH_PASSWORD2 = None
    TRUSTED_PROXIES = 0  # that stand before us, and tell of the client in X-Forwarded-…
    PORT = 5000  # where the development server listens


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
