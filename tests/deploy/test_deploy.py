"""Good and bad releases under load: no call fails, and acknowledged data are kept.

DEPLOYS and KILLS say how many good releases there are, and how often a worker is
killed.
"""

import json
import os
import re
import time
from collections import Counter
from contextlib import closing

import pytest
from load import API, Load

from conftest import ACCOUNT, until
from myapp.version import __version__ as FIRST

DEPLOYS = int(os.environ.get("DEPLOYS", 2))
KILLS = int(os.environ.get("KILLS", 5))
BACK = 30  # seconds after which a bad release has been taken back
VERSION = "myapp/version.py"
HEAD = "whichever is the newest"
MIGRATION = '''"""A change of the tables"""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"
branch_labels = depends_on = None


def upgrade():
    {change}
'''


RED = """
        import os

        if "RELEASE" in os.environ:  # in service
            return "does not answer"
"""
KILL = """
    main=$(systemctl show --value --property MainPID myapp-web)
    pgrep --parent $main --full pyuwsgi | shuf --head-count 1 | xargs kill -KILL
"""


def version(number):
    return {VERSION: (FIRST, number)}


def migration(revision, change, before=HEAD):
    text = MIGRATION.format(revision=revision, change=change, before=before)
    return {f"migrations/versions/{revision}.py": text}


REFUSED = "Refused. The running release is unchanged"
BAD = {
    "it does not import": (
        {VERSION: ("__version__", "import no_such_library\n\n__version__")},
        REFUSED,
    ),
    "it is not ready": (
        {
            "myapp/core/observability/health.py": (
                "redis_store.ping()",
                "return 'broken'",
            )
        },
        REFUSED,
    ),
    "its migration fails": (
        migration("bad1", 'op.execute("SELECT 1 / (1 - 1)")'),
        REFUSED,
    ),
    "the running one cannot work with its migration": (
        migration("bad2", 'op.execute("ALTER TABLE devices RENAME location TO place")'),
        "devices.location",
    ),
    "it is not ready, once it is in service": (
        {
            "myapp/core/observability/health.py": (
                "redis_store.ping()",
                f"redis_store.ping()\n{RED}",
            )
        },
        "Rolled back: it is not ready",
    ),
    "it does not import, once it is in service": (
        {
            "wsgi.py": (
                "import gc\n",
                "import gc, os\n\nassert 'RELEASE' not in os.environ\n",
            )
        },
        "Rolled back: myapp-web does not start",
    ),
    "its worker does not start": (
        {
            "myapp/core/jobs/worker.py": (
                '    run_celery(context, "worker"',
                '    exit(1)\n    run_celery(context, "worker"',
            )
        },
        "Rolled back: myapp-worker does not start",
    ),
}
if DEPLOYS <= 2:  # the short form
    BAD = dict(list(BAD.items())[:5])


@pytest.fixture(scope="module")
def load(server):
    """Clients whom no limit holds, from when they are answered."""
    run = server.machine.run
    run("sed -i s/rate=200r/rate=9000r/ /etc/nginx/sites-available/myapp")
    run("systemctl reload nginx")
    run("sed -i s/=true/=false/ /etc/myapp/env")
    run("touch /srv/myapp/restart")
    with Load(server.client, *ACCOUNT).going_on() as load:
        until(lambda: len(load.serials) > 50)
        load.failed()
        yield load
        print(dict(load.calls), len(load.serials), "devices")


def test_no_call_fails_during_releases(server, load):
    kept = {}
    for number in range(1, DEPLOYS + 1):
        kept |= version(f"0.1.{number}")
        if number % 2 == 0:
            kept |= more_tables(number, newest(server))
        if number % 4 == 2:
            kept |= {"myapp.ini": ("7000", str(7000 + number))}
        began = time.monotonic()
        code, output = server.push(kept)
        print(f"{kept[VERSION][1]}: {time.monotonic() - began:.0f} s")
        assert code == 0, output
        way = (
            "Restart everything"
            if number % 4 == 2
            else "Replace one worker after another"
        )
        assert way in output
        assert versions(server) == {f"0.1.{number}"}
        assert load.failed() == []
    for why, (release, result) in BAD.items():
        before = newest(server), versions(server)
        release = {
            file: after_newest(change, before[0]) for file, change in release.items()
        }
        code, output = server.push(kept | release)
        assert code == 1 and result in output, f"{why}: {output}"
        assert (newest(server), versions(server)) == before, why
        if result.startswith("Rolled back"):
            assert (
                float(re.search(r"after ([0-9.]+) s", output)[1]) < BACK
            ), f"{why}: {output}"
        assert load.failed() == [], why
    kept_all(server, load)


def test_no_data_are_lost_when_workers_are_killed(server, load):
    for _ in range(KILLS):
        server.machine.run(KILL)
        time.sleep(0.7)
    # nginx repeats an idempotent request at another worker.
    assert {failure.split()[1] for failure in load.failed()} <= {"POST"}
    kept_all(server, load)
    counts = server.machine.run("ls /run/myapp/metrics; nproc").split()
    web = {name.rpartition("_")[2] for name in counts if "web" in name}
    assert len(web) == int(counts[-1]) + 1  # one for each worker's number


def more_tables(number, before):
    """Return a migration that is compatible with the running release."""
    change = f"""op.create_table("t{number}", sa.Column("id", sa.Integer()))
    op.add_column("devices", sa.Column("c{number}", sa.Integer()))"""
    return migration(f"good{number}", change, before)


def after_newest(change, newest):
    """Return the text of a migration that follows the newest one."""
    return change.replace(HEAD, newest) if isinstance(change, str) else change


def kept_all(server, load):
    """Each device that was acknowledged is there, once."""
    with closing(server.client()) as client:
        client.sign_in(*ACCOUNT)
        serials, imports = load.serials[:], load.imports[:]
        for url in imports:
            until(lambda: client.call("GET", url)["status"] == "done")
            time.sleep(0.02)  # nginx limits us, too
        export = client.call("GET", f"{API}/devices/export?format=ndjson")
    there = Counter(json.loads(line)["serial_number"] for line in export.splitlines())
    assert {serial: there[serial] for serial in serials if there[serial] != 1} == {}


def versions(server):
    """Return the version that each worker reports."""
    with closing(server.client()) as client:
        return {client.call("GET", "/status/")["version"] for _ in range(10)}


def newest(server):
    """Return the revision of the database."""
    (result,) = server.machine.run(
        "cd /; runuser -u postgres -- psql -At myapp -c 'TABLE alembic_version'"
    ).split()
    return result
