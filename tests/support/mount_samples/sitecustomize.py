"""Mount the sample features in a process that tests start.

Python imports this module at its start if its folder is in PYTHONPATH. So a test can start
the very commands that production runs, such as `flask --app myapp worker`.
"""

import sys
from importlib.abc import MetaPathFinder
from importlib.util import find_spec

PACKAGE = "myapp"


class Finder(MetaPathFinder):
    """Finds the package of the project, which then also mounts the sample features."""

    def find_spec(self, name, path, target=None):
        if name != PACKAGE:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)  # by the other finders
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            from support.features import SERVED

            module.create_app.__kwdefaults__["features"] = SERVED

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Finder())
