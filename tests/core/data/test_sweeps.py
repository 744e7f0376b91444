"""The rules for every sweep, and the command that runs them all."""

from datetime import timedelta
from itertools import product

import pytest

from conftest import create_tables_and_accounts, record_statements, signed_in_client
from myapp.core.data.batches import delete_in_batches
from myapp.core.data.models.columns import now
from myapp.core.data.models.idempotency import IdempotencyRecord
from myapp.core.data.session import sql, unit_of_work
from myapp.core.jobs import schedule
from myapp.users.models import User

SWEEPS = ("audit.purge", "auth.purge", "idempotency.purge", "users.purge")


def purge(app):
    """Run the command and return its output for each sweep, by name, and its exit code."""
    result = app.test_cli_runner().invoke(args=["purge"])
    values = dict(line.split(": ", 1) for line in result.output.splitlines())
    return values, result.exit_code


def test_the_command_runs_every_sweep(app, client, gadget):
    client.put(f"/api/v1/sample_signals/{gadget['id']}", json={})
    result, code = purge(app)
    assert code == 0
    assert result.keys() >= set(SWEEPS)
    assert result.pop("sample_signals.count") == "1 signals"
    assert set(result.values()) == {"nothing to do"}


def test_without_redis_the_other_sweeps_run_and_the_command_fails(make_app, empty_uri):
    uris = {"SQLALCHEMY_DATABASE_URI": empty_uri, "REDIS_URL": "unix:///missing.sock"}
    app = make_app(**uris)
    create_tables_and_accounts(app)
    result, code = purge(app)
    assert code == 1
    assert result["sample_signals.count"] == "failed: ConnectionError"
    assert {result[name] for name in SWEEPS} == {"nothing to do"}


@pytest.mark.parametrize("name", [*SWEEPS, "sample_signals.count"])
def test_a_sweep_may_be_repeated(app, name):
    for _ in range(2):
        done = app.extensions["celery"].tasks[name].apply()
        assert done.successful()


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 7])
def test_rows_are_removed_in_batches_by_several_columns(app, number, monkeypatch):
    monkeypatch.setattr("myapp.core.data.batches.DELETE_BATCH_ROWS", 2)
    with app.app_context():
        with unit_of_work():
            for account, key in product((1, 2), range(7)):
                row = {"account_id": account, "key": str(key), "request_hash": b""}
                sql.session.add(IdempotencyRecord(**row, created_at=now()))
        table = IdempotencyRecord.__table__
        chosen = table.c.account_id == 2, table.c.key < str(number)
        with record_statements(app) as seen:
            assert delete_in_batches(table, *chosen) == number
        with unit_of_work(writes=False):
            left = sql.session.execute(sql.select(table.c.account_id, table.c.key))
            kept = {(1, str(key)) for key in range(7)}
            assert set(left) == kept | {(2, str(key)) for key in range(number, 7)}
    batches = [text for text, _ in seen if text.startswith("DELETE")]
    assert len(batches) == (number + 1) // 2


def test_a_sweep_skips_locked_rows_and_does_not_wait(live_app):
    with live_app.app_context():
        if sql.engine.dialect.name == "sqlite":
            pytest.skip("one writes at a time there")
        users = User.__table__
        with sql.engine.begin() as held:
            one = sql.select(users.c.id).where(users.c.username == "engineer")
            held.execute(one.with_for_update())
            assert delete_in_batches(users, users.c.id > 0) == 1
        assert delete_in_batches(users, users.c.id > 0) == 1


def test_every_sweep_finds_its_rows_by_an_index(live_app):
    """SQLite tells; on a server it depends on how many rows there are."""
    signed_in_client(live_app, "gardener")
    with live_app.app_context():
        with unit_of_work():
            long_ago = {"deleted_at": now() - timedelta(days=31)}
            sql.session.execute(sql.update(User).values(long_ago))
        if sql.engine.dialect.name != "sqlite":
            pytest.skip("it has so few rows that it reads them all")
        searches = []
        for name, sweep in schedule.periodic_tasks().items():
            with record_statements(live_app) as seen:
                sweep.run()
            its = [statement for statement in seen if "SELECT" in statement[0]]
            assert its or name not in SWEEPS, "it searches for rows"
            searches += its
        with sql.engine.connect() as connection:
            for text, values in searches:
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)
                steps = [row.detail for row in plan]
                assert steps and not any(step.startswith("SCAN") for step in steps)
