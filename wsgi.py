"""The WSGI application; FLASK_CONFIG selects its environment, by default production."""

import atexit
import gc
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from dotenv import load_dotenv
from sqlalchemy.orm import configure_mappers

load_dotenv()

# Forked workers share their metrics in this folder; other processes need its path.
# The library reads the variable once, when it is imported.
if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    folder, loader = tempfile.mkdtemp(prefix="myapp-metrics-"), os.getpid()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    atexit.register(lambda: os.getpid() == loader and shutil.rmtree(folder, True))

# A uWSGI worker continues the counts of the worker that it replaces. Otherwise each
# recycled worker would leave its files behind.
with suppress(ImportError):
    from uwsgi import worker_id  # exists only in uWSGI

    if worker_id():
        from prometheus_client import values

        name = f"web{worker_id()}"
        counts = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
        for state in counts.glob(f"gauge_*_{name}.db"):
            state.unlink()
        values.ValueClass = values.MultiProcessValue(lambda: name)

from myapp import create_app  # noqa: E402

app = create_app(os.environ.get("FLASK_CONFIG", "production"))

configure_mappers()  # once here, instead of in each worker at its first query

# Exclude all present objects from garbage collection, which would write to them, so that
# each forked worker would copy their memory.
gc.collect()
gc.freeze()
