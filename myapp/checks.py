"""What `flask doctor` looks at.

A check is a generator: it takes the settings, yields the `wrong` and the `advice` that it
comes upon, and returns the fact to tell of where there is neither; None where there is
nothing to look at. CHECKS names them all, in the order in which they are told. None of
them changes anything, shows a secret, or minds what else is broken.
"""

import errno
import os
import platform
import re
import shutil
import sys
import time
import traceback
from contextlib import suppress
from io import StringIO
from pathlib import Path
from urllib.parse import unquote, urlsplit

from alembic.script import ScriptDirectory
from dotenv.parser import parse_stream
from flask import Flask, current_app
from redis.exceptions import RedisError, ResponseError
from sqlalchemy import inspect, make_url, text
from sqlalchemy.exc import SQLAlchemyError

import default_config

from . import findings
from .db import (
    FOREIGN,
    MIGRATIONS,
    check_migrations,
    check_redis,
    known_migrations,
    lacking,
    migrated,
    newer,
    redis_store,
    sql,
    unit_of_work,
)
from .findings import advice, wrong
from .jobs import WORKERS, check_beat, check_worker
from .migrating import unlike_the_models
from .moving import said
from .processes import readiness, refusal
from .redis_client import CLUSTER, QUICK, SENTINEL, Client
from .replicas import REPLAYED
from .settings import (
    LAST_PORT,
    OURS,
    PLAIN,
    PREFIX,
    SHORTEST_SECRET,
    SettingError,
    environment,
    from_environment,
    from_file,
    meant,
    mistaken,
    require_secrets,
    variable,
)
from .statements import in_memory
from .version import __version__

ROOT = Path(__file__).parent.parent
NGINX = "deploy/nginx.conf"
# The oldest that have what we rely on: RETURNING and FOR UPDATE SKIP LOCKED, and on
# PostgreSQL what replicas.py asks; of Redis, and Python, the oldest that somebody tends.
OLDEST = {
    "Python": (3, 11),
    "SQLite": (3, 35),
    "PostgreSQL": (12,),
    "MariaDB": (10, 6),
    "Redis": (6, 2),
}
LABELS = {
    "sqlite": "SQLite",
    "postgresql": "PostgreSQL",
    "mysql": "MariaDB",
    "mariadb": "MariaDB",
}
NOW = {
    "PostgreSQL": "SELECT extract(epoch from clock_timestamp())",
    "MariaDB": "SELECT unix_timestamp(sysdate(6))",
}
MOST = {
    "PostgreSQL": "SELECT current_setting('max_connections')",
    "MariaDB": "SELECT @@max_connections",
}
SKEW = 2  # seconds that two clocks may be apart; tokens and replicas count in seconds
FULL = 256 * 2**20  # bytes that are left of a disk
FEW_FILES = 256  # what a Mac allows, where nobody has asked for more
LONGEST_TTL = 24 * 60  # minutes
FEW_LETTERS = 10  # different ones in a secret that nobody drew by lot
DRAW = 'python3 -c "import secrets; print(secrets.token_urlsafe(48))"'
SECRETS = ("SECRET_KEY", "JWT_SECRET_KEY")
# What libraries take, and default_config.py does not name.
THEIRS = set(Flask.default_config) | {
    f"SQLALCHEMY_{name}"
    for name in ("BINDS", "ECHO", "ENGINE_OPTIONS", "RECORD_QUERIES")
}


def in_production(config):
    return config.get("CONFIG_NAME", environment()) == "production"


def graver(config):
    """`wrong` in production, where it costs something; elsewhere `advice`."""
    return wrong if in_production(config) else advice


def quoted(error):
    """What somebody else's error says, on one line, without any secret of ours."""
    words = " ".join(said(error).split())
    for secret in sorted(not_to_be_shown(current_app.config), key=len, reverse=True):
        words = words.replace(secret, "***")
    return words


def not_to_be_shown(config):
    """Every secret and password in the settings, as far as there are any."""
    names = (*SECRETS, "AUTH_PASSWORD1", "AUTH_PASSWORD2")
    found = {config.get(name) for name in names}
    found |= set(config.get("JWT_FORMER_SECRET_KEYS", ()))
    names = ("SQLALCHEMY_DATABASE_URI", "REDIS_URL", "BROKER_URL")
    urls = [config.get(name) or "" for name in names]
    for url in (*urls, *config.get("SQLALCHEMY_REPLICA_URIS", ())):
        password = urlsplit(url).netloc.rpartition("@")[0].partition(":")[2]
        found |= {password, unquote(password)}
    return found - {None, ""}


# The machine


def python(_config):
    version, oldest = platform.python_version(), OLDEST["Python"]
    if sys.version_info < oldest:
        told = f"{version} is older than {dotted(oldest)}"
        yield wrong(told, "make clean; make PYTHON=python3.12 run")
    return version


def packages(_config):
    """What is installed, against what is locked."""
    return (yield from findings.packages(ROOT))


def readers(config):
    """Who may read the files that hold secrets."""
    files = (ROOT / ".env", Path(current_app.instance_path) / "config.py")
    there = [file for file in files if file.exists()]
    for file in there:
        if file.stat().st_mode & 0o004:
            told = f"every account of this machine may read {file}"
            yield graver(config)(told, f"chmod o-rwx {file}")
    names = " and ".join(file.name for file in there)
    return f"{names}: not for everybody" if there else "no .env, no instance/config.py"


def open_files(_config):
    try:
        import resource
    except ImportError:  # on Windows
        return
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= most < FEW_FILES:  # -1: any number
        told = f"a process may have {most} open, and each connection is one"
        yield advice(told, f"ulimit -n {4 * FEW_FILES}, or LimitNOFILE= in its unit")
    return "any number" if most < 0 else f"{most:,} at once"


def folders(config):
    """Where this machine keeps its own things, and whether there is room."""
    places = [current_app.instance_path, config["IMPORTS_FOLDER"]]
    if file := sqlite_file(config):
        places.append(os.path.dirname(file))
    disks = {}
    for place in dict.fromkeys(places):
        there = nearest(place)
        if not os.path.isdir(there) or not os.access(there, os.W_OK | os.X_OK):
            mend = "give it to the account of the service, or set another folder: "
            mend += f"INSTANCE_PATH, {PREFIX}IMPORTS_FOLDER"
            yield wrong(f"{place} cannot be written to", mend)
        else:
            disks[os.stat(there).st_dev] = place, shutil.disk_usage(there).free
    for place, left in disks.values():
        told = f"{left:,} bytes are left on the disk of {place}"
        if left < FULL:
            yield wrong(told, "make room there")
        elif left < config["MAX_IMPORT_BYTES"]:
            mend = f"make room there, or lower {PREFIX}MAX_IMPORT_BYTES"
            yield advice(f"{told}; an import may be more", mend)
    room = min((left for _, left in disks.values()), default=0)
    return f"writable, {room / 2**30:,.0f} GiB left"


def nearest(path):
    """The path, or the first of those above it that is there."""
    while not os.path.lexists(path):
        path = os.path.dirname(os.path.abspath(path))
    return path


def sqlite_file(config):
    """The path of the database's file; None where it is in memory, or no SQLite."""
    url = make_url(config["SQLALCHEMY_DATABASE_URI"])
    if url.get_backend_name() == "sqlite" and not in_memory(url):
        return os.path.abspath(url.database)


def port(config):
    """Where `make run` listens; in production that is somebody else's business."""
    number = config["PORT"]
    if in_production(config):
        return
    error = refusal(number)
    if error is None:
        return f"{number} is free"
    status, _ = readiness(number)
    if status not in (200, 503):
        told = f"another program listens on {number}"
        if error.errno != errno.EADDRINUSE:
            told = f"nobody may listen on {number} here: {error.strerror}"
        other = number + 1 if 1024 <= number < LAST_PORT else 5001
        yield advice(told, f"PORT={other} make run")
    return f"the service listens on {number}"


# The settings


def settings(config):
    """Whether they can be taken, and which nobody heeds."""
    _, error = current_app.extensions["doctor"]
    if error:
        yield from faults(config, error)
        return
    in_file = from_file(current_app.instance_path)
    for name in sorted(in_file.keys() - OURS - THEIRS):
        near = meant(name, OURS | THEIRS)
        told = f"instance/config.py has {name}, and there is no such setting"
        yield advice(told, f"{near}, perhaps" if near else "take it out")
    for name in sorted((OURS - PLAIN.keys()) & os.environ.keys()):
        if PREFIX + name not in os.environ:
            told = f"{name} in the environment, or in .env, goes unheard"
            yield advice(told, f"{PREFIX}{name}")
    if in_production(config) and current_app.debug:
        yield wrong("the debugger is on", "unset FLASK_DEBUG")
    here = {name for name in os.environ if name.startswith(PREFIX) or name in PLAIN}
    told = ", ".join(sorted(here | in_file.keys())) or "nothing"
    return f"{config['CONFIG_NAME']}, release {__version__}; set here: {told}"


def faults(config, error):
    """All that is wrong with the settings, of which `error` was the first."""
    if isinstance(error, OSError):
        mend = "give it to the account that runs this, or name another: INSTANCE_PATH"
        at = error.filename
        yield wrong(f"{at}: {error.strerror}" if at else quoted(error), mend)
        return
    if not isinstance(error, SettingError):  # its words may hold a secret
        told = f"they end with {type(error).__name__} in {place_of(error)}"
        yield wrong(told, "mend instance/config.py")
        return
    found = {}  # in order, each once
    with suppress(Exception, SettingError):  # of what is no file, `error` tells
        found |= dict.fromkeys(mistaken(from_file(config.root_path)))
    if environment() in default_config.CONFIGS:
        for key, value in os.environ.items():
            try:
                config.update(from_environment(config, {key: value}))
            except SettingError as fault:
                found[str(fault)] = None
        for name in SECRETS if in_production(config) else ():
            good = dict.fromkeys(SECRETS, "-" * SHORTEST_SECRET)
            try:
                require_secrets(good | {name: config[name]})
            except SettingError as fault:
                found[str(fault)] = None
    for words in found | {str(error): None}:
        told, _, mend = words.removesuffix(".").partition(". ")
        yield wrong(told, mend or "default_config.py says what it may be")


def dotenv(_config):
    """Whether each line of .env can be read, and is heard."""
    file = ROOT / ".env"
    if not file.is_file():
        return
    try:
        lines = list(parse_stream(StringIO(file.read_text("utf-8"))))
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        told = f"line {number} of {file} is no UTF-8: commands end there"
        yield wrong(told, "write it anew, or take it out")
        return
    for line in lines:
        whole = line.original.string  # it begins with the empty lines before
        blank = whole[: len(whole) - len(whole.lstrip())].count("\n")
        at = f"line {line.original.line + blank} of {file}"
        if line.error or line.key and line.value is None:
            yield wrong(f"{at} has no name and value", "write it as NAME=value")
        elif name := of_another(line.key or ""):
            told = f"{line.key} goes unheard, in {at}"
            yield advice(told, f"{PREFIX}{name}, if it is meant for us")
    return f"{sum(bool(line.key) for line in lines)} lines in {file}, each can be read"


def of_another(key):
    """The setting that a variable may have set while we had another prefix, or None."""
    names = (name for name in OURS - PLAIN.keys() if key.endswith(f"_{name}"))
    return None if key.startswith(PREFIX) else max(names, key=len, default=None)


def place_of(error):
    """The file and the line where an error came up."""
    if isinstance(error, SyntaxError):
        file, line = error.filename, error.lineno
    else:
        *_, last = traceback.extract_tb(error.__traceback__)
        file, line = last.filename, last.lineno
    return f"{os.path.basename(file)}, line {line}"


def secrets(config):
    """Whether what is to be secret is."""
    if not in_production(config):
        return "development's, known to everybody; production takes none of them"
    if config["SECRET_KEY"] == config["JWT_SECRET_KEY"]:
        told = "SECRET_KEY and JWT_SECRET_KEY are the same"
        yield wrong(told, drawn("JWT_SECRET_KEY"))
    for name in SECRETS:
        if len(set(config[name])) < FEW_LETTERS:
            yield advice(f"{name} has hardly any different letters", drawn(name))
    if any(len(k.encode()) < SHORTEST_SECRET for k in config["JWT_FORMER_SECRET_KEYS"]):
        told = f"one of JWT_FORMER_SECRET_KEYS has less than {SHORTEST_SECRET} bytes"
        yield wrong(told, "take it out: whoever guesses it makes tokens")
    known = default_config.DevelopmentConfig
    for name in ("AUTH_PASSWORD1", "AUTH_PASSWORD2"):
        if config[name] in (known.AUTH_PASSWORD1, known.AUTH_PASSWORD2):
            yield wrong(f"{name} is one that everybody knows", f"unset {PREFIX}{name}")
    return "long enough, and different"


def drawn(name):
    """How a secret comes to be a good one."""
    return f"set {PREFIX}{name} to what this prints: {DRAW}"


def limits(config):
    """Values that fight each other, or those of uWSGI and nginx."""
    body, file = config["MAX_CONTENT_LENGTH"], config["MAX_IMPORT_BYTES"]
    uwsgi = int(re.search(r"\nlimit-post = (\d+)", (ROOT / "myapp.ini").read_text())[1])
    sizes = re.findall(r"client_max_body_size (\d+)m", (ROOT / NGINX).read_text())
    for name, size, nginx in zip(
        ("MAX_CONTENT_LENGTH", "MAX_IMPORT_BYTES"), (body, file), map(int, sizes)
    ):
        told = f"{name} is {size:,} bytes, of which"
        if size > uwsgi:
            yield wrong(f"{told} uWSGI takes {uwsgi:,}", "limit-post in myapp.ini")
        elif size > nginx * 2**20:
            yield advice(
                f"{told} nginx takes {nginx} MiB", f"{NGINX}; then deploy/setup"
            )
        if not size:
            yield wrong(f"{name} 0 takes no body at all", f"unset {PREFIX}{name}")
    for name, why in (
        ("JWT_TTL", "a token is over when it comes"),
        ("PRESENCE_TTL", "no heartbeat can be taken"),
    ):
        if not config[name]:
            mend = f"{PREFIX}{name}={getattr(default_config.Config, name)}"
            yield wrong(f"{name} 0: {why}", mend)
    if config["JWT_TTL"] > LONGEST_TTL:
        told = f"a token that is stolen is good for {config['JWT_TTL']:,} minutes"
        yield advice(told, f"{PREFIX}JWT_TTL=15; refresh tokens last for the rest")
    if config["SQLALCHEMY_REPLICA_URIS"] and config["REPLICA_MAX_LAG"] < 3:
        told = "REPLICA_MAX_LAG is below 3 seconds: no replica is ever fresh enough"
        yield wrong(told, f"{PREFIX}REPLICA_MAX_LAG=5")
    if in_production(config):
        yield from strangers(config)
    return "none fights another"


def strangers(config):
    """What lets in more than production wants."""
    if not config["USE_RATE_LIMITS"]:
        yield advice("calls are not counted", f"{PREFIX}USE_RATE_LIMITS=true")
    if "*" in config["CORS_ORIGINS"]:
        told = "CORS_ORIGINS is *: any page may call from a browser"
        yield advice(told, f"{PREFIX}CORS_ORIGINS=https://app.example.com")
    # Behind uwsgi_pass 0 is right; a host that says which PORT is ours speaks HTTP.
    if os.environ.get("PORT") and not config["TRUSTED_PROXIES"]:
        told = "TRUSTED_PROXIES is 0: behind a proxy, all callers have its address"
        yield advice(told, f"{PREFIX}TRUSTED_PROXIES=1")


# The database


def database(config):
    url, file = make_url(config["SQLALCHEMY_DATABASE_URI"]), sqlite_file(config)
    label = LABELS[url.get_backend_name()]
    if file and not os.path.exists(file):  # to connect would make it
        told = f"{file} is not there yet"
        if not os.path.isdir(os.path.dirname(file)):
            yield wrong(
                f"{told}, nor is its folder", f"mkdir -p {os.path.dirname(file)}"
            )
        else:
            mend = first_steps(config)
            if others := sorted(Path(file).parent.glob("*.sqlite3")):
                told += f", but {others[0]} is"
                mend = (
                    f"if that is yours, move {others[0].name}* to the new name; else "
                )
                mend += first_steps(config)
            yield graver(config)(told, mend)
        return
    place = f"{url.host or 'localhost'}:{url.port}" if url.port else url.host
    where = file or f"{place or 'localhost'}/{url.database}"
    try:
        _, ms = asked("SELECT 1")
    except SQLAlchemyError as error:
        mend = f"start it, or set {variable('SQLALCHEMY_DATABASE_URI')} right"
        if file:
            mend = f"give this account leave to read and write {file}"
        if file and is_spoilt(file, error):
            mend = "move it away; then flask restore with a backup of it, or "
            mend += first_steps(config)
        yield wrong(f"{label} at {where} does not let us in: {quoted(error)}", mend)
        return
    dialect = sql.engine.dialect
    if label == "MariaDB" and not dialect.is_mariadb:
        yield wrong(f"{where} is MySQL", "MariaDB, PostgreSQL or SQLite")
    version, oldest = dialect.server_version_info, OLDEST[label]
    if version < oldest:
        told = f"{label} {dotted(version)} is older than {dotted(oldest)}"
        yield wrong(told, "flask backup, then a newer one")
    return f"{label} {dotted(version)} at {where}, {ms:.1f} ms"


def is_spoilt(file, error):
    """Whether what stands at the database's path is none."""
    code = getattr(getattr(error, "orig", None), "sqlite_errorname", "")
    return os.path.isdir(file) or code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT"))


def asked(question):
    """What the database answers, and in how many milliseconds once it is connected."""
    with unit_of_work(writes=False):
        connection = sql.session.connection()
        began = time.perf_counter()
        answer = connection.scalar(text(question))
        return answer, (time.perf_counter() - began) * 1000


def dotted(version):
    return ".".join(str(part) for part in version if isinstance(part, int))


def first_steps(config):
    """The command that makes the tables."""
    return "flask deploy" if in_production(config) else "make run, or flask init-db"


def migrations(config):
    current, known = migrated(), known_migrations()
    if ahead := newer(current):
        if lacking():
            return f"at {', '.join(ahead)}, which this release does not know"
        return f"at {', '.join(ahead)}, of a newer release; we can work with it"
    if check_migrations() == "ok":
        return f"{len(known)}, all of them have run"
    with unit_of_work(writes=False):
        tables = set(inspect(sql.session.connection()).get_table_names())
    if current:
        scripts = ScriptDirectory(MIGRATIONS)
        waiting = sum(1 for _ in scripts.iterate_revisions("heads", current))
        yield wrong(f"{waiting} of {len(known)} have not run yet", "flask deploy")
    elif tables & sql.metadata.tables.keys():
        told = "tables are there, but not which migrations have made them"
        yield wrong(told, "flask db stamp and the one that they are at; flask deploy")
    else:
        yield wrong("the database is empty", first_steps(config))


def models(_config):
    """Whether the tables are what the models say; a newer release's have more."""
    if newer(migrated()):
        if missing := lacking():
            yield wrong(f"no migration has made {', '.join(missing)}", FOREIGN)
        return
    with unit_of_work(writes=False):
        changes = unlike_the_models(sql.session.connection())
    new, leaving = set(), set()
    for change in changes:  # those of one column stand in a list of their own
        for verb, *what in change if isinstance(change, list) else [change]:
            (leaving if verb.startswith("remove_") else new).add(named(verb, what))
    for names in (new, leaving):  # the indexes of a table go with it
        names -= {name for name in names if name.partition(" of ")[2] in names}
    if new:
        told = f"no migration has made {', '.join(sorted(new))}"
        yield wrong(told, 'flask db migrate -m "what is new", then flask deploy')
    if leaving:
        told = f"no model names {', '.join(sorted(leaving))}"
        yield advice(told, 'flask db migrate -m "what goes", a release later')
    return f"{len(sql.metadata.tables)} tables, as they say"


def named(verb, what):
    """The table, or table.column, that one of Alembic's changes is about."""
    if verb.endswith("_table"):
        return what[0].name
    if verb.endswith("_column"):
        return f"{what[1]}.{what[2].name}"
    if verb.startswith("modify_"):
        return f"{what[1]}.{what[2]}"
    return f"{what[0].name} of {what[0].table.name}"


def accounts(config):
    """Whether somebody can come in, and who should not."""
    people, _ = current_app.extensions["doctor"]
    found, hire = people(), "flask adduser NAME --role admin"
    if not found["roles"]:
        yield wrong("the built-in roles are not there", "flask deploy")
    elif not found["number"]:
        yield graver(config)("there are none", hire)
    elif in_production(config) and not found["admin"]:
        yield advice("nobody may do everything", hire)
    for name in found["known"] if in_production(config) else ():
        yield wrong(f"everybody knows the password of {name}", f"flask passwd {name}")
    admin = "an admin is" if found["admin"] else "no admin"
    return f"{found['number']}, {admin} among them"


def connections(config):
    """What the processes of this host may hold, against what the server has."""
    label = LABELS[sql.engine.dialect.name]
    if label not in MOST:
        return
    most, cores = int(asked(MOST[label])[0]), os.cpu_count() or 1
    # In myapp.ini one process for each core and one more, Celery's for each
    # core; each does one thing at a time, and reads on one connection and
    # writes on another.
    web = int(os.environ.get("WEB_CONCURRENCY", cores + 1))
    wanted = 2 * (web + cores)
    told = f"this host may want {wanted}, {label} has {most}"
    if wanted > most:
        yield graver(config)(told, f"max_connections = {2 * wanted}")
    return told


def replicas(_config):
    """Whether those that are read from follow; each by its place in the setting."""
    known = current_app.extensions["replicas"]
    for number, replica in enumerate(known.all if known else (), 1):
        mend = f"start it, or take it out of {PREFIX}SQLALCHEMY_REPLICA_URIS"
        try:
            with replica.engine.connect() as connection:
                position = connection.scalar(text(REPLAYED))
        except SQLAlchemyError as error:
            yield wrong(f"number {number} does not let us in: {quoted(error)}", mend)
        else:
            if position is None:
                yield wrong(f"number {number} is no replica of anything", mend)
    return known and f"{len(known.all)}, all of them follow"


# Redis, and who works over it


def redis(config):
    if config["REDIS_EMBEDDED"] and check_redis() != "ok":
        if in_production(config):
            yield wrong("there is none", "REDIS_URL=redis://…")
        else:
            told = "the embedded one runs only as long as make run does"
            yield advice(told, "make run")
        return
    return (yield from one_redis(redis_store, "REDIS_URL"))


def broker(config):
    """The Redis that carries tasks, where it is another one."""
    if config["BROKER_URL"] == config["REDIS_URL"]:
        return
    client = Client.from_url(config["BROKER_URL"], **QUICK)
    try:
        return (yield from one_redis(client, "BROKER_URL"))
    finally:
        client.close()


def one_redis(client, setting):
    """What there is to say of the one that this setting names; of a Cluster, one node's."""
    url = current_app.config[setting]
    split = urlsplit(url)
    where = f"{split.scheme}://{split.netloc.rpartition('@')[2]}{split.path}"
    try:
        client.ping()
        began = time.perf_counter()
        client.ping()
        ms = (time.perf_counter() - began) * 1000
        info = client.info()
    except RedisError as error:
        mend = f"start it, or set {variable(setting)} right"
        yield wrong(f"{where} does not let us in: {quoted(error)}", mend)
        return
    version, label = info["redis_version"], "Redis"
    if tuple(map(int, version.split(".")[:2])) < OLDEST["Redis"]:
        told = f"{version} is older than {dotted(OLDEST['Redis'])}"
        yield wrong(told, "a newer Redis, or Valkey")
    if "valkey_version" in info:
        version, label = info["valkey_version"], "Valkey"
    if info["role"] == "slave" and split.scheme not in (SENTINEL, CLUSTER):
        yield wrong(
            f"{where} only repeats another one",
            f"{variable(setting)}: that one's address",
        )
    yield from forgetting(client, info)
    return f"{label} {version} at {where}, {ms:.1f} ms"


def forgetting(client, info):
    """Why it may lose what it has acknowledged."""
    try:
        saves = client.config_get("save").get("save")
    except ResponseError:  # where others run it for us, it may not be asked
        saves = None
    if not info["aof_enabled"]:
        level = wrong if saves == "" else advice
        lost = "all" if saves == "" else "what has changed since it last saved"
        yield level(f"when it ends badly, it forgets {lost}", "appendonly yes")
    if (policy := info["maxmemory_policy"]) != "noeviction":
        level = wrong if info["maxmemory"] else advice
        told = f"when its memory is full, it forgets: {policy}"
        yield level(told, "maxmemory-policy noeviction")
    elif 0 < info["maxmemory"] < info["used_memory"] * 1.1:
        yield advice("its memory is nearly full", "a higher maxmemory")
    for name in ("aof_last_write_status", "rdb_last_bgsave_status"):
        if info[name] != "ok":
            yield wrong(f"it cannot save: {name} {info[name]}", "make room on its disk")


def worker(config):
    if check_worker() != "ok":
        yield graver(config)("none answers, so tasks wait", starts(config, "worker"))
    return f"{redis_store.zcount(WORKERS, int(time.time()), '+inf')} at work"


def beat(config):
    if check_beat() != "ok":
        told = "none ticks, so nothing that is due is done"
        yield graver(config)(told, starts(config, "beat"))
    return "ticks"


def starts(config, command):
    """How that command comes to run."""
    if in_production(config):
        return f"systemctl start myapp-{command}, or flask {command}"
    return f"make run, or flask {command}"


def clocks(_config):
    """Ours, against those of the servers, by which tokens end."""
    apart = []
    for name, ask in (("the database", sql_time), ("Redis", redis_time)):
        before = time.time()
        theirs = ask()
        if theirs is None:
            continue
        ahead = theirs - (before + time.time()) / 2
        apart.append(abs(ahead))
        if abs(ahead) > SKEW:
            where = "ahead of" if ahead > 0 else "behind"
            told = f"{name} is {abs(ahead):.0f} s {where} us"
            yield wrong(told, "timedatectl set-ntp true, here and there")
    return apart and f"at most {max(apart):.2f} s apart"


def sql_time():
    """The database's epoch second; None where it has no clock of its own, or is away."""
    question = NOW.get(LABELS[sql.engine.dialect.name])
    try:
        return question and float(asked(question)[0])
    except SQLAlchemyError:
        return None


def redis_time():
    """Redis's epoch second; None where it is away."""
    try:
        seconds, microseconds = redis_store.time()
    except RedisError:
        return None
    return seconds + microseconds / 1e6


# Each check, and the one that must have had a fact to tell of. The first few need no
# application, and so cope where the settings are such that there is none.
BEFORE = dict.fromkeys((python, packages, settings, dotenv, readers, open_files))
CHECKS = BEFORE | {
    folders: None,
    port: None,
    secrets: None,
    limits: None,
    database: None,
    migrations: "database",
    models: "migrations",
    accounts: "migrations",
    connections: "database",
    replicas: None,
    redis: None,
    broker: None,
    worker: "redis",
    beat: "redis",
    clocks: None,
}
