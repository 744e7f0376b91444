"""`make fuzz`: Schemathesis checks the service against its document.

The service runs as in production, with uWSGI and a background worker, on its own stores,
without the sample features: once for an ordinary account, and once more for an admin. Any
failure and any warning fails the run. Arguments on the command line are passed to
Schemathesis, as `--seed 7`.
"""

import os
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from conftest import signed_in_client  # noqa: E402
from myapp import FEATURES  # noqa: E402
from myapp.core.data.embedded_redis import start_redis  # noqa: E402
from support.background import worker  # noqa: E402
from support.workers import run_uwsgi, temporary_app  # noqa: E402

SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"
# X-Forwarded-For contains many addresses, and request lines are long, as nginx allows.
SETTINGS = {"MYAPP_TRUSTED_PROXIES": "1", "UWSGI_BUFFER_SIZE": "65535"}
WITHOUT_SAMPLES = {"PYTHONPATH": ""}


def fuzz(username, words):
    """Run Schemathesis as an account; return whether there was no fault."""
    print(f"\nAs {username}:", flush=True)
    output = StringIO()
    with (
        redirect_stdout(output),
        tempfile.TemporaryDirectory(prefix="fuzz-") as folder,
        start_redis() as (_, url),
    ):
        own, files = Path(folder, "worker"), str(Path(folder, "imports"))
        own.mkdir()
        with temporary_app(folder, url, features=FEATURES, IMPORTS_FOLDER=files) as app:
            signed_in_client(app, "chief", "admin")
            settings = {**SETTINGS, **WITHOUT_SAMPLES, "MYAPP_IMPORTS_FOLDER": files}
            values = {"FUZZ_AS": username, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
            with (
                run_uwsgi(app, url, **settings) as service,
                worker(app, own, **WITHOUT_SAMPLES),
            ):
                address = f"http://{service.address}"
                ran = subprocess.run(
                    [SCHEMATHESIS, "run", f"{address}/openapi.json", *words],
                    cwd=ROOT,
                    env={**os.environ, **values, "FUZZ_URL": address},
                )
    lines = output.getvalue().splitlines()
    faults = [
        line for line in lines if '"level":"error"' in line or "Traceback" in line
    ]
    print(*faults, sep="\n")
    return ran.returncode == 0 and not faults


if __name__ == "__main__":
    accounts = os.environ.get("FUZZ_AS", "pythonista chief").split()
    sys.exit(not all([fuzz(username, sys.argv[1:]) for username in accounts]))
