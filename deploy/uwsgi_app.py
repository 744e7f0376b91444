"""The application of a uWSGI worker, loaded from one release.

The link `current` can change while a worker is loading. Therefore the worker resolves it
once, and loads the code and the libraries from there.
"""

import os
import site
import sys
import time
import traceback

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # …/current
RELEASE = os.path.realpath(HERE)
LIBRARIES = os.path.join(
    RELEASE, ".venv/lib/python{}.{}/site-packages".format(*sys.version_info)
)

os.chdir(RELEASE)
sys.path[:] = [path for path in sys.path if "/.venv/" not in path]
site.addsitedir(LIBRARIES)
sys.path.insert(0, RELEASE)

try:
    from wsgi import app as application  # noqa: E402, F401
except BaseException:
    # uWSGI would end all workers at once. Instead, only this one ends and is restarted,
    # until the release is rolled back.
    traceback.print_exc()
    time.sleep(1)
    os._exit(1)
