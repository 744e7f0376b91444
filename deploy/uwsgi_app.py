"""What a uWSGI worker loads: the application, all of it from one release.

`current` may come to name another release while a worker is loading. So the worker looks
once where it leads, and takes everything from there: its own code, and the libraries.
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
    # uWSGI itself would end all workers, in the middle of what they are at. So this one
    # just ends, and is started again: the release is about to be taken back.
    traceback.print_exc()
    time.sleep(1)
    os._exit(1)
