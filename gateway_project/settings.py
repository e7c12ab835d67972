"""All settings, from the environment. ``env.example`` lists every variable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

from gateway_project.environment import boolean, integer, number, rate, secret, secrets, text, words

BASE_DIR = Path(__file__).resolve().parent.parent
environ.Env.read_env(str(BASE_DIR / ".env"), overwrite=False)

# -- process
ENVIRONMENT = text("ENVIRONMENT", "development")
IS_PRODUCTION = ENVIRONMENT == "production"
DEBUG = boolean("DEBUG", default=False)
VERSION = text("VERSION", "0.1.0")
LOG_LEVEL = text("LOG_LEVEL", "INFO").upper()
LOG_FORMAT = text("LOG_FORMAT", "json" if IS_PRODUCTION else "console")
SECRET_KEY = secret("DJANGO_SECRET_KEY")
if not SECRET_KEY and not IS_PRODUCTION:
    SECRET_KEY = "development-only-" + "0" * 50
if not SECRET_KEY:
    raise ImproperlyConfigured("Set DJANGO_SECRET_KEY to the output of: openssl rand -base64 48")
ALLOWED_HOSTS = list(words("ALLOWED_HOSTS", "" if IS_PRODUCTION else "localhost,127.0.0.1,[::1]"))

# -- the server of ``manage.py serve``; bounds for each process
SERVER_HOST = text("SERVER_HOST", "127.0.0.1")
SERVER_PORT = integer("SERVER_PORT", 8000)
SERVER_WORKERS = integer("SERVER_WORKERS", 1)
TRUSTED_PROXIES = text("TRUSTED_PROXIES", "127.0.0.1,::1")
MAX_CONNECTIONS = integer("MAX_CONNECTIONS", 1000)
MAX_TARGET_BYTES = integer("MAX_TARGET_BYTES", 8 * 1024)
MAX_HEAD_BYTES = integer("MAX_HEAD_BYTES", 64 * 1024)
MAX_HEADERS = integer("MAX_HEADERS", 100)
HEAD_SECONDS = number("HEAD_SECONDS", 10)
KEEP_ALIVE_SECONDS = integer("KEEP_ALIVE_SECONDS", 75)
MAX_MEMORY_BYTES = integer("MAX_MEMORY_BYTES", 0)  # 0: a process may have any
MAX_MEMORY_PART = number("MAX_MEMORY_PART", 0.85)  # of the container's; 0: it is not looked at
SHUTDOWN_NOTICE_SECONDS = number("SHUTDOWN_NOTICE_SECONDS", 5)
SHUTDOWN_DRAIN_SECONDS = number("SHUTDOWN_DRAIN_SECONDS", 30)

# -- storage
DATABASE_URL = secret("DATABASE_URL")
REDIS_URL = secret("REDIS_URL")
_database: dict[str, Any] = {"NAME": "gateway"}
if DATABASE_URL:
    _database = environ.Env.db_url_config(DATABASE_URL)
DATABASE_TIMEOUT = number("DATABASE_TIMEOUT", 10)
_pool_seconds = number("DATABASE_POOL_TIMEOUT", 5)
DATABASES = {
    "default": {
        **_database,
        "ENGINE": "gateway_core.postgresql",
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            **_database.get("OPTIONS", {}),
            "pool": {
                "min_size": 0,
                "max_size": integer("DATABASE_POOL_SIZE", 10),
                "timeout": _pool_seconds,
                "reconnect_timeout": 1,  # then whoever wants a connection has it tried again
            },
            "connect_timeout": max(1, round(_pool_seconds)),
            # So that a peer that is gone without a word is found out, whatever waits for it.
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 60_000,
        },
    },
}
CACHES = {
    "default": (
        {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
        if REDIS_URL
        else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    ),
    "limits": (
        {
            "BACKEND": "gateway_project.throttling.ForgivingRedisCache",
            "LOCATION": REDIS_URL,
            "OPTIONS": {"socket_connect_timeout": 0.5, "socket_timeout": 0.5},
        }
        if REDIS_URL
        else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "limits"}
    ),
}
CHANNEL_LAYERS = {
    "default": (
        {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [REDIS_URL]},
        }
        if REDIS_URL
        else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    ),
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ENCRYPTION_KEYS = secrets("ENCRYPTION_KEYS")
AGENT_SECRET_MASTER_KEYS = secrets("AGENT_SECRET_MASTER_KEY")

# -- Supabase Auth
SUPABASE_URL = text("SUPABASE_URL").rstrip("/")
SUPABASE_KEY = secret("SUPABASE_KEY")
SUPABASE_SERVICE_KEY = secret("SUPABASE_SERVICE_KEY")
SUPABASE_TIMEOUT = number("SUPABASE_TIMEOUT", 5)
SUPABASE_BAN_SUSPENDED = boolean("SUPABASE_BAN_SUSPENDED", default=False)
ERASE_SUPABASE_USERS = boolean("ERASE_SUPABASE_USERS", default=False)
SUPABASE_JWT_SECRETS = secrets("SUPABASE_JWT_SECRET")
SUPABASE_JWKS_URL = text(
    "SUPABASE_JWKS_URL",
    f"{SUPABASE_URL}/auth/v1/.well-known/jwks.json" if SUPABASE_URL else "",
)
SUPABASE_ISSUERS = words("SUPABASE_ISSUERS", f"{SUPABASE_URL}/auth/v1" if SUPABASE_URL else "")
SUPABASE_AUDIENCE = text("SUPABASE_AUDIENCE", "authenticated")
SUPABASE_ROLES = words("SUPABASE_ROLES", "authenticated")
SUPABASE_ALGORITHMS = words("SUPABASE_ALGORITHMS", "ES256,RS256,EdDSA")
TOKEN_LEEWAY_SECONDS = number("TOKEN_LEEWAY_SECONDS", 30)
TOKEN_MAX_LIFETIME_SECONDS = number("TOKEN_MAX_LIFETIME_SECONDS", 7 * 86400 + 1200)
ALLOW_ANONYMOUS_USERS = boolean("ALLOW_ANONYMOUS_USERS", default=True)
ALLOW_OAUTH_CLIENTS = boolean("ALLOW_OAUTH_CLIENTS", default=False)
CACHE_TTL_JWT = number("CACHE_TTL_JWT", 300)
SESSION_POLICY = text("SESSION_POLICY", "sensitive")
CACHE_TTL_SESSION = number("CACHE_TTL_SESSION", 45)
JWKS_SOFT_TTL_SECONDS = number("JWKS_SOFT_TTL_SECONDS", 300)
JWKS_HARD_TTL_SECONDS = number("JWKS_HARD_TTL_SECONDS", 1200)

# -- upstreams; every timeout in seconds
GATEWAY_INTERNAL_URL = text("GATEWAY_INTERNAL_URL").rstrip("/")
LITELLM_BASE_URL = text("LITELLM_BASE_URL").rstrip("/")
LITELLM_MASTER_KEY = secret("LITELLM_MASTER_KEY")
LITELLM_TIMEOUT = number("LITELLM_TIMEOUT", 600)
LITELLM_QUICK_TIMEOUT = number("LITELLM_QUICK_TIMEOUT", 15)  # of the gateway's own calls
LITELLM_MAX_CONCURRENT = integer("LITELLM_MAX_CONCURRENT", 200)  # in each process, like Letta's
LETTA_BASE_URL = text("LETTA_BASE_URL").rstrip("/")
LETTA_API_KEY = secret("LETTA_API_KEY")
LETTA_TIMEOUT = number("LETTA_TIMEOUT", 600)
LETTA_MAX_CONCURRENT = integer("LETTA_MAX_CONCURRENT", 100)
LETTA_MAX_TURNS = integer("LETTA_MAX_TURNS", 100)
LETTA_QUICK_TIMEOUT = number("LETTA_QUICK_TIMEOUT", 60)  # of what asks no model
UPSTREAM_CONNECT_TIMEOUT = number("UPSTREAM_CONNECT_TIMEOUT", 5)
UPSTREAM_FIRST_BYTE_TIMEOUT = number("UPSTREAM_FIRST_BYTE_TIMEOUT", 300)  # of models
UPSTREAM_IDLE_TIMEOUT = number("UPSTREAM_IDLE_TIMEOUT", 120)
UPSTREAM_QUEUE_PLACES = integer("UPSTREAM_QUEUE_PLACES", 200)
UPSTREAM_QUEUE_SECONDS = number("UPSTREAM_QUEUE_SECONDS", 10)
CIRCUIT_BREAKER_FAILURE_THRESHOLD = integer("CIRCUIT_BREAKER_FAILURE_THRESHOLD", 5)
CIRCUIT_BREAKER_FAILURE_RATE = number("CIRCUIT_BREAKER_FAILURE_RATE", 0.5)
CIRCUIT_BREAKER_CALLERS = integer("CIRCUIT_BREAKER_CALLERS", 3)
CIRCUIT_BREAKER_SLOW_SECONDS = number("CIRCUIT_BREAKER_SLOW_SECONDS", 20)
CIRCUIT_BREAKER_RECOVERY_TIMEOUT = number("CIRCUIT_BREAKER_RECOVERY_TIMEOUT", 60)
CIRCUIT_BREAKER_PROBES = integer("CIRCUIT_BREAKER_PROBES", 3)
AMS_BASE_URL = text("AMS_BASE_URL").rstrip("/")
AMS_API_KEY = secret("AMS_API_KEY")
AMS_TIMEOUT = number("AMS_TIMEOUT", 60)
CACHE_TTL_HEALTH = number("CACHE_TTL_HEALTH", 5)
CACHE_TTL_OWNERSHIP = number("CACHE_TTL_OWNERSHIP", 600)
CACHE_TTL_USER = number("CACHE_TTL_USER", 300)
CACHE_TTL_VIRTUAL_KEY = number("CACHE_TTL_VIRTUAL_KEY", 300)

# -- letta_proxy
LETTA_MODE = text("LETTA_MODE", "self-hosted")
LETTA_MAX_STEPS = integer("LETTA_MAX_STEPS", 50)
# Letta's own tools, without those that run code, fetch addresses or speak to other agents.
LETTA_ALLOWED_TOOLS = words(
    "LETTA_ALLOWED_TOOLS",
    "archival_memory_insert,archival_memory_search,conversation_search,core_memory_append,"
    "core_memory_replace,finish_rethinking_memory,grep_files,memory,memory_apply_patch,"
    "memory_finish_edits,memory_insert,memory_replace,memory_rethink,open_files,"
    "rethink_user_memory,search_memory,semantic_search_files,send_message,store_memories,"
    "web_search",
)

# -- requests of each user: an hour, in one go, at once
ENABLE_RATE_LIMITING = boolean("ENABLE_RATE_LIMITING", default=True)
RATE_LIMITS = {
    "general": rate("RATE_LIMIT_GENERAL", "1000/h:100:32"),
    "llm": rate("RATE_LIMIT_LLM", "100/h:50:16"),
    "proxy": rate("RATE_LIMIT_PROXY", "500/h:200:32"),
    "uploads": rate("RATE_LIMIT_UPLOADS", "100/h:50:8"),
    "writes": rate("RATE_LIMIT_WRITES", "300/h:60:8"),
}

# -- bodies, in bytes
MAX_JSON_BYTES = integer("MAX_JSON_BYTES", 1024 * 1024)
MAX_LLM_BYTES = integer("MAX_LLM_BYTES", 20 * 1024 * 1024)
MAX_UPLOAD_BYTES = integer("MAX_UPLOAD_BYTES", 100 * 1024 * 1024)
MAX_AUDIO_BYTES = integer("MAX_AUDIO_BYTES", 25 * 1024 * 1024)
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_JSON_BYTES
FILE_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024  # strangers' bodies, too: the rest is on disk
MAX_HELD_BYTES = integer("MAX_HELD_BYTES", 256 * 1024 * 1024)  # in memory at once, of all requests

# -- templates_app
MAX_TEMPLATE_BYTES = integer("MAX_TEMPLATE_BYTES", 256 * 1024)
MAX_BUNDLE_BYTES = integer("MAX_BUNDLE_BYTES", 8 * 1024 * 1024)
MAX_TEMPLATES_PER_USER = integer("MAX_TEMPLATES_PER_USER", 100)
MAX_VERSIONS_PER_TEMPLATE = integer("MAX_VERSIONS_PER_TEMPLATE", 200)

# -- agents
MAX_AGENT_FILE_BYTES = integer("MAX_AGENT_FILE_BYTES", 16 * 1024 * 1024)

# -- Idempotency-Key
IDEMPOTENCY_TTL_SECONDS = number("IDEMPOTENCY_TTL_SECONDS", 86400)
IDEMPOTENCY_LEASE_SECONDS = number("IDEMPOTENCY_LEASE_SECONDS", 120)
IDEMPOTENCY_MAX_BYTES = integer("IDEMPOTENCY_MAX_BYTES", 1024 * 1024)

# -- what is recorded
AUDIT_SPOOL_DIR = Path(text("AUDIT_SPOOL_DIR", str(BASE_DIR / ".local" / "spool")))
AUDIT_SHIP_SECONDS = number("AUDIT_SHIP_SECONDS", 1)  # 0: leave the spool to other processes
JOBS_SECONDS = number("JOBS_SECONDS", 1)  # 0: leave jobs to manage.py run_jobs
AUDIT_SIGNING_KEYS = secrets("AUDIT_SIGNING_KEY")
AUDIT_PUBLIC_KEYS = words("AUDIT_PUBLIC_KEYS")
AUDIT_RETENTION_DAYS = integer("AUDIT_RETENTION_DAYS", 365)  # 0: for ever
USAGE_RETENTION_DAYS = integer("USAGE_RETENTION_DAYS", 730)
USAGE_COLLECT_SECONDS = number("USAGE_COLLECT_SECONDS", 20)  # 0: leave it to reconcile_usage
AUDIT_ROUTES = "gateway_project.routes.names"  # what the admin can filter by
ENABLE_METRICS = boolean("ENABLE_METRICS", default=True)
METRICS_TOKEN = secret("METRICS_TOKEN")
ENABLE_DOCS = boolean("ENABLE_DOCS", default=True)

# -- Django
INSTALLED_APPS = [
    "daphne",
    "gateway_project.apps.GatewayAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "channels",
    "django_prometheus",
    "gateway_core.audit",
    "gateway_core.jobs",
    "gateway_core.idempotency",
    "accounts",
    "templates_app",
    "llm_proxy",
    "letta_proxy",
    "agents",
    "gateway_project.apps.RoofConfig",
]
MIDDLEWARE = [
    "gateway_project.static.StaticFilesMiddleware",
    "gateway_project.slashes.LastSlashMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "gateway_project.recording.RecordingMiddleware",
    "gateway_project.problems.ExpectedErrorsMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    # The last: it calls the view itself.
    "gateway_project.idempotency.IdempotencyMiddleware",
]
ROOT_URLCONF = "gateway_project.urls"
ASGI_APPLICATION = "gateway_project.asgi.application"
AUTH_USER_MODEL = "accounts.User"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "gateway_project" / "templates"],  # before the admin's own
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "static"
STORAGES = {
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"
        if IS_PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
# In development files come from where the apps keep them; in production from ``collectstatic``.
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = not IS_PRODUCTION
LANGUAGE_CODE = "en-us"
LANGUAGES = [("en", "English"), ("ru", "Русский")]
FORMAT_MODULE_PATH = "gateway_project.formats"
TIME_ZONE = "UTC"
USE_TZ = True
LOGGING_CONFIG = "gateway_core.logging.configure"
LOGGING = {
    "level": LOG_LEVEL,
    "format": LOG_FORMAT,
    "service": "gateway",
    "environment": ENVIRONMENT,
}
RATELIMIT_USE_CACHE = "limits"

# -- browsers; TLS ends at the load balancer, one of TRUSTED_PROXIES, which says so to the server
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_PRODUCTION
SESSION_COOKIE_AGE = 12 * 3600
SECURE_HSTS_SECONDS = integer("SECURE_HSTS_SECONDS", 31_536_000 if IS_PRODUCTION else 0)
SECURE_HSTS_PRELOAD = IS_PRODUCTION
SECURE_SSL_REDIRECT = boolean("SECURE_SSL_REDIRECT", default=IS_PRODUCTION)
# Django looks for both in a middleware of its own; both planes have them of ``browsers``, ``tls``.
SILENCED_SYSTEM_CHECKS = ["security.W001", "security.W002"]
ALLOWED_ORIGINS = words("ALLOWED_ORIGINS")
# Of the admin, which is no business of the origins that may call the API.
CSRF_TRUSTED_ORIGINS = list(words("CSRF_TRUSTED_ORIGINS"))

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.authentication.SupabaseAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_THROTTLE_CLASSES": ["gateway_project.throttling.UserThrottle"],
    "DEFAULT_PARSER_CLASSES": ["gateway_core.intake.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "gateway_project.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "AI Agent Gateway",
    "DESCRIPTION": "One API over Letta agents and LiteLLM models, for users of Supabase Auth.",
    "VERSION": VERSION,
    "OAS_VERSION": "3.1.1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "POSTPROCESSING_HOOKS": ["gateway_project.openapi.add_proxied_routes"],
}
