"""The WSGI application; production unless FLASK_CONFIG says otherwise."""

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

# Workers that are forked from here count together; one that is not needs to be told
# where the others do. The library looks once, when it is imported.
if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    folder, loader = tempfile.mkdtemp(prefix="myapp-metrics-"), os.getpid()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    atexit.register(lambda: os.getpid() == loader and shutil.rmtree(folder, True))

# A uWSGI worker that loads this for itself goes on with the counts of the one that it has
# replaced; else each that is recycled would leave files of its own behind.
with suppress(ImportError):
    from uwsgi import worker_id  # only uWSGI has it

    if worker_id():
        from prometheus_client import values

        name = f"web{worker_id()}"
        counts = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
        for state in counts.glob(f"gauge_*_{name}.db"):
            state.unlink()
        values.ValueClass = values.MultiProcessValue(lambda: name)

from myapp import create_app  # noqa: E402

app = create_app(os.environ.get("FLASK_CONFIG", "production"))

configure_mappers()  # at the first query, each worker would do it for itself

# What is here now stays. A collection that looked through it would write to all of it, and
# each forked worker would get a copy of its own.
gc.collect()
gc.freeze()
