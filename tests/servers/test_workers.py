"""Rules for several worker processes, whichever of them responds or dies."""

import time
from collections import Counter
from contextlib import ExitStack
from functools import partial
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from conftest import LAMP, PASSWORDS, SHARED_PASSWORD, signed_in_client
from myapp.core.data.embedded_redis import start_redis
from support.workers import (
    BROKEN,
    TIMEOUT_SECONDS,
    WORKER_COUNT,
    at_once,
    run_uwsgi,
    temporary_app,
)

GADGETS = "/api/v1/sample_gadgets/"
WRITERS = 50
RETRIES = 1000
CLIENTS = 16
OFTEN = 0.15  # seconds from one worker's death to the next
ENOUGH = 10  # connections that broke; fewer would prove nothing


@pytest.fixture(scope="module")
def accounts(tmp_path_factory):
    """Yield an application on the database that the services here share."""
    with temporary_app(tmp_path_factory.mktemp("sql")) as app:
        yield app


@pytest.fixture(scope="module")
def shared_counts(tmp_path_factory):
    """Return the folder in which the workers share their metrics."""
    return tmp_path_factory.mktemp("metrics")


@pytest.fixture(scope="module")
def service_in_use(accounts, redis_url, shared_counts):
    folder = {"PROMETHEUS_MULTIPROC_DIR": str(shared_counts)}
    with run_uwsgi(accounts, redis_url, **folder) as service:
        yield service


@pytest.fixture
def service(service_in_use):
    """Yield the service that most tests here share."""
    before = service_in_use.log.stat().st_size
    yield service_in_use
    print(service_in_use.log.read_bytes()[before:].decode())


@pytest.fixture
def call(service):
    """Call it as pythonista."""
    return service.sign_in("pythonista", PASSWORDS["pythonista"])


# Preconditions


def test_of_fifty_writers_with_the_same_etag_one_succeeds(service, call):
    path = f"{GADGETS}{call('POST', GADGETS, LAMP).json['id']}"
    turn, took_part = 0, set()
    while turn < 3 or took_part != set(service.workers()):
        assert turn < 20
        tag = call("GET", path).headers["ETag"]
        bodies = [{**LAMP, "name": f"Writer {turn}.{n}"} for n in range(WRITERS)]
        answers = at_once(
            [partial(call, "PUT", path, body, If_Match=tag) for body in bodies]
        )
        statuses = Counter(answer.status for answer in answers)
        assert statuses == {200: 1, 412: WRITERS - 1}
        ((sent, won),) = (
            (body, answer)
            for body, answer in zip(bodies, answers)
            if answer.status == 200
        )
        now = call("GET", path)
        assert now.json.items() >= sent.items()
        assert now.body == won.body
        assert now.headers["ETag"] == won.headers["ETag"] != tag
        turn, took_part = turn + 1, took_part | {answer.worker for answer in answers}


# Idempotency keys


class Stubborn:
    """A client that repeats its POST until it has a response, while workers die."""

    def __init__(self, call, place):
        self.broken = []  # connections
        self._call = call
        self._body = {**LAMP, "location": place}
        self._deadline = time.monotonic() + 2 * TIMEOUT_SECONDS

    def post(self, key):
        """Return the response to a POST with this key; AssertionError on timeout."""
        while True:
            assert time.monotonic() < self._deadline
            try:
                return self._call("POST", GADGETS, self._body, Idempotency_Key=key)
            except BROKEN as error:
                self.broken.append(error)


def created(answers):
    """Return the one address that all of these responses name.

    At most one of them is the original, which may be lost; the others are its replays.
    """
    tell = {
        (a.status, a.headers["Location"], a.headers["ETag"], a.body) for a in answers
    }
    ((status, location, *_),) = tell
    assert status == 201
    assert Counter(a.headers["Idempotent-Replayed"] for a in answers)[None] <= 1
    return location


def urls(call, place):
    """Return the URLs of the gadgets at that place, at most 100, and their number."""
    body = call("GET", f"{GADGETS}?view=urls&per_page=100&location={place}").json
    return body["urls"], body["meta"]["total"]


def test_a_post_sent_a_thousand_times_while_workers_die_happens_once(service, call):
    place = uuid4().hex
    client, answers = Stubborn(call, place), []

    def retry():
        while len(answers) < RETRIES or len(client.broken) < ENOUGH:
            answers.append(client.post(place))

    with service.losing_workers(OFTEN):
        at_once([retry] * CLIENTS)
    assert urls(call, place) == ([created(answers)], 1)


def test_of_posts_with_many_keys_none_happens_twice_while_workers_die(service, call):
    place = uuid4().hex
    client, item = Stubborn(call, place), []
    with service.losing_workers(OFTEN):
        while len(item) < 60 or len(client.broken) < ENOUGH:
            keys = [uuid4().hex for _ in range(CLIENTS // 4)]
            answers = at_once([partial(client.post, key) for key in keys * 4])
            item += [created(answers[n :: len(keys)]) for n in range(len(keys))]
    result, total = urls(call, place)
    assert total == len(item) == len(set(item))
    assert set(result) <= set(item)


# Rate limits


class Limited:
    """A service that allows five calls an hour, and the Redis that counts them."""

    def __init__(self, accounts, folder):
        self._stack, self._folder = ExitStack(), folder
        url = self.start_redis()
        limits = {"MYAPP_USE_RATE_LIMITS": "true", "MYAPP_RATE_LIMIT": "5 per hour"}
        self.service = self._stack.enter_context(run_uwsgi(accounts, url, **limits))
        call = self.service.sign_in("pythonista", PASSWORDS["pythonista"])
        self.call = partial(call, "GET", GADGETS)

    def start_redis(self):
        """Start an empty Redis, always at the same address."""
        self._redis, url = self._stack.enter_context(start_redis(self._folder))
        self.redis = Redis.from_url(url)
        return url

    def kill_redis(self):
        self.redis.close()
        self._redis.kill()
        self._redis.wait(TIMEOUT_SECONDS)

    def close(self):
        self.redis.close()
        self._stack.close()


@pytest.fixture(scope="module")
def limited_service(accounts, tmp_path_factory):
    limited = Limited(accounts, tmp_path_factory.mktemp("redis"))
    yield limited
    limited.close()


def let_through(call):
    """Return those of fifty responses that were not refused by the rate limit."""
    answers = at_once([call] * 50)
    refused = [answer for answer in answers if answer.status == 429]
    for answer in refused:
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.headers["X-RateLimit-Remaining"] == "0"
    passed = [answer for answer in answers if answer.status == 200]
    assert len(passed) + len(refused) == 50
    return passed


def test_of_fifty_calls_at_once_exactly_five_are_within_the_limit(limited_service):
    for _ in range(5):
        limited_service.redis.flushdb()  # the next window
        remaining = [
            a.headers["X-RateLimit-Remaining"]
            for a in let_through(limited_service.call)
        ]
        assert sorted(remaining) == ["0", "1", "2", "3", "4"]
    assert let_through(limited_service.call) == []


def test_while_redis_is_away_each_worker_counts_for_itself(limited_service):
    limited_service.redis.flushdb()
    assert len(let_through(limited_service.call)) == 5
    limited_service.kill_redis()
    for worker in limited_service.service.workers():
        with limited_service.service.alone(worker):
            assert len(let_through(limited_service.call)) == 5
    limited_service.start_redis()
    time.sleep(1.1)  # each looks for it once a second
    assert len(let_through(limited_service.call)) == 5


# Metrics


def each(service, call, *request):
    """Return the response of each worker to a call."""
    answers = []
    for worker in service.workers():
        with service.alone(worker):
            answers.append(call(*request))
        assert answers[-1].worker == worker
    return answers


def metric_values(service, name, **labels):
    """Return the sum of all samples of a metric, for each worker."""
    return [
        sum(
            sample.value
            for family in text_string_to_metric_families(answer.body.decode())
            for sample in family.samples
            if sample.name == name and sample.labels.items() >= labels.items()
        )
        for answer in each(service, service.call, "GET", "/metrics")
    ]


def test_every_worker_reports_the_metrics_of_all_even_the_dead(service):
    def counts():
        status = {"method": "GET", "route": "/status/"}
        names = "http_requests_total", "http_request_duration_seconds_count"
        return [
            count for name in names for count in metric_values(service, name, **status)
        ]

    before = counts()
    for times in (40, 80):
        for _ in range(40 // WORKER_COUNT):
            each(service, service.call, "GET", "/status/")
        assert counts() == [count + times for count in before]
        service.lose_worker()
        assert counts() == [count + times for count in before]


def test_the_connections_of_a_dead_worker_are_not_counted(service):
    def held():
        each(service, service.call, "GET", "/status/ready")  # which connects
        # a worker counts its own when asked
        metric_values(service, "database_connections_open")
        (number,) = set(metric_values(service, "database_connections_open"))
        return number

    before = held()
    for _ in range(3):
        service.lose_worker()
        now = held()
        assert WORKER_COUNT <= now <= before
        before = now


def test_a_worker_that_died_before_its_first_metric_is_ignored(service, shared_counts):
    died = service.workers()[0]
    service.lose_worker()
    # what a process leaves that is killed between making its file and filling it
    (shared_counts / f"summary_{died}.db").touch()
    answers = each(service, service.call, "GET", "/metrics")
    assert [answer.status for answer in answers] == [200, 200]


# What one worker decides, all feel


def sign_out(me, admin):
    me("POST", "/api/v1/auth/logout")


def block(me, admin):
    patch(me, admin, {"status": "blocked"})


def promote(me, admin):
    patch(me, admin, {"role": "manager"})


def patch(me, admin, body):
    account = me("GET", "/api/v1/account").json
    assert admin("PATCH", f"/api/v1/users/{account['id']}", body).status == 200


@pytest.fixture(scope="module")
def chief(accounts):
    """Return the name of an admin."""
    signed_in_client(accounts, "chief", "admin")
    return "chief"


@pytest.mark.parametrize(
    "change, status", [(sign_out, 401), (block, 401), (promote, 200)]
)
def test_a_change_in_one_worker_takes_effect_in_others_within_a_second(
    service, accounts, call, chief, change, status
):
    theirs = f"{GADGETS}{call('POST', GADGETS, LAMP).json['id']}"
    username = uuid4().hex
    signed_in_client(accounts, username)
    me = service.sign_in(username, SHARED_PASSWORD)
    admin = service.sign_in(chief, SHARED_PASSWORD)
    look = partial(each, service, me, "GET", theirs)

    assert [answer.status for answer in look()] == [404, 404]
    with service.alone(service.workers()[0]):
        change(me, admin)
    changed = time.monotonic()
    while time.monotonic() < changed + 1:
        look()  # to be asked again is no reason to remember longer
        time.sleep(0.1)
    assert [answer.status for answer in look()] == [status, status]
