"""A POST with an Idempotency-Key is carried out once, however often it is sent."""

from datetime import timedelta

import pytest
from support.assertions import assert_problem

from conftest import LAMP, as_account
from myapp.core.data.models.columns import now
from myapp.core.data.models.idempotency import IdempotencyRecord
from myapp.core.data.session import sql, unit_of_work
from myapp.users.models import User

GADGETS = "/api/v1/sample_gadgets/"
CHORES = "/api/v1/sample_chores/"
REGISTER = "/api/v1/auth/register"
KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
AGAIN = "Idempotent-Replayed"


def total(client, path=GADGETS):
    return client.get(path).json["meta"]["total"]


def post(client, path=GADGETS, body=LAMP, **headers):
    return client.post(path, json=body, headers={**KEY, **headers})


def pointers(response):
    return [fault["pointer"] for fault in response.json["errors"]]


def test_a_repeated_key_replays_the_first_response_although_the_record_changed(client):
    first, second = post(client), post(client)
    assert AGAIN not in first.headers
    assert second.headers[AGAIN] == "true"
    assert (second.status_code, second.data) == (201, first.data)
    for name in ("Location", "ETag", "Content-Type", "Cache-Control", "Vary"):
        assert second.headers[name] == first.headers[name]
    assert second.headers["X-Request-ID"] != first.headers["X-Request-ID"]
    assert total(client) == 1
    client.patch(first.json["url"], json={"name": "Renamed"})
    assert post(client).data == first.data
    client.delete(first.json["url"])
    assert post(client).data == first.data
    assert total(client) == 0


def test_a_request_without_a_key_or_of_another_account_is_carried_out(client, engineer):
    responses = [client.post(GADGETS, json=LAMP) for _ in range(2)]
    responses += [post(client), post(engineer)]
    assert not any(AGAIN in response.headers for response in responses)
    assert (total(client), total(engineer)) == (3, 1)


@pytest.mark.parametrize(
    "path, body",
    [(f"{GADGETS}?x=1", LAMP), (CHORES, {"name": "a", "task": "b"}), (GADGETS, {})],
)
def test_a_key_cannot_be_used_for_another_request(client, path, body):
    post(client)
    response = post(client, path, body)
    assert_problem(response, 422)
    assert pointers(response) == ["/Idempotency-Key"]
    assert (total(client), total(client, CHORES)) == (1, 0)


def test_a_refused_request_may_be_corrected_and_sent_with_the_same_key(client):
    refused = post(client, body={**LAMP, "name": ""})
    assert pointers(refused) == ["/name"]
    assert post(client).status_code == 201
    assert total(client) == 1


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "schlüssel", "a\tb", " "])
def test_a_malformed_key_is_400(client, key):
    response = post(client, **{"Idempotency-Key": key.encode().decode("latin-1")})
    assert_problem(response, 400)
    assert pointers(response) == ["/Idempotency-Key"]
    assert total(client) == 0


def test_a_key_may_have_any_visible_ascii_characters_and_is_case_sensitive(client):
    for key in ("1", '"quoted"', "x" * 255, "!~", "key", "KEY", "Key"):
        responses = [post(client, **{"Idempotency-Key": key}) for _ in range(2)]
        assert [sent.headers.get(AGAIN) for sent in responses] == [None, "true"]


def age(app, **by):
    older = sql.update(IdempotencyRecord).values(created_at=now() - timedelta(**by))
    with app.app_context(), unit_of_work():
        sql.session.execute(older)


def test_a_key_expires_after_a_day(app, client):
    post(client)
    age(app, hours=23, minutes=59)
    assert post(client).headers[AGAIN] == "true"
    age(app, hours=24, minutes=1)
    later = post(client, body={**LAMP, "name": "Another"})
    assert later.status_code == 201 and AGAIN not in later.headers
    assert post(client, body={**LAMP, "name": "Another"}).data == later.data
    assert total(client) == 2


def test_a_command_purges_expired_responses(app, client):
    def stored():
        with app.app_context(), unit_of_work(writes=False):
            return sql.session.scalar(sql.select(sql.func.count(IdempotencyRecord.key)))

    post(client)
    age(app, hours=24, minutes=1)
    post(client, **{"Idempotency-Key": "younger"})
    for outcome in ("1 responses", "nothing to do"):  # it may run twice
        result = app.test_cli_runner().invoke(args=["purge"])
        assert result.exit_code == 0
        assert f"idempotency.purge: {outcome}\n" in result.output
        assert stored() == 1


def test_a_sign_up_is_carried_out_once_and_its_password_is_not_stored(app, stranger):
    body = {"username": "newcomer", "password": "Only I know this one"}
    first, second = (post(stranger, REGISTER, body) for _ in range(2))
    assert first.status_code == 201
    assert (second.data, second.headers[AGAIN]) == (first.data, "true")
    with app.app_context(), unit_of_work(writes=False):
        (row,) = sql.session.execute(sql.select(IdempotencyRecord.__table__)).all()
    assert "Only I know" not in str(row)
    assert_problem(post(stranger, REGISTER, {**body, "password": "another 1"}), 422)


IMPATIENT = {
    "sqlite": {"timeout": 0.3},
    "postgresql": {"options": "-c lock_timeout=300ms"},
    "mysql": {"init_command": "SET SESSION innodb_lock_wait_timeout = 1"},
}


def test_a_second_request_waits_for_the_first_but_not_forever(make_app):
    """Expect 409; on SQLite 503, because it has one writer and does not name the row."""
    app = make_app()
    kind = app.config["SQLALCHEMY_DATABASE_URI"].partition(":")[0].partition("+")[0]
    hurry = {"connect_args": IMPATIENT[kind]}
    second = as_account(make_app(SQLALCHEMY_ENGINE_OPTIONS=hurry), "pythonista")
    second.get(GADGETS)  # from now on the account is cached
    with app.app_context():
        account_id = User.find("pythonista").id
        sql.session.rollback()
        first = {"account_id": account_id, "key": KEY["Idempotency-Key"]}
        values = first | {"request_hash": b"", "created_at": now()}
        sql.session.execute(sql.insert(IdempotencyRecord).values(values))
        assert_problem(post(second), 503 if kind == "sqlite" else 409)
        sql.session.rollback()
        created = post(second)
        assert created.status_code == 201
        second.delete(created.json["url"])
        sql.session.execute(sql.delete(IdempotencyRecord).filter_by(**first))
        sql.session.commit()
