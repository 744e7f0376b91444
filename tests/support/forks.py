"""Commands in a copy of the project, each in a fork of one process that has imported it.

Importing the project takes longer than most commands. Each command still begins in a
process that has only imported the project.
"""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from importlib import import_module
from runpy import run_module
from tempfile import TemporaryFile


@contextmanager
def forks(folder, environment):
    """Yield a function that runs a Python module in `folder`, as `python -m` does.

    It takes the module, its arguments, and variables to add to `environment`, and returns
    the exit code and the output. The first call imports the project: change its code
    before.
    """
    process = None

    def run(*words, **variables):
        nonlocal process
        if process is None:
            process = subprocess.Popen(
                [sys.executable, __file__],
                cwd=folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        print(json.dumps([words, variables]), file=process.stdin, flush=True)
        return json.loads(process.stdout.readline())

    try:
        yield run
    finally:
        if process is not None:
            process.communicate()  # closes its input, which ends it


def serve():
    """Import the project, and run each command that comes in."""
    sys.path[0] = os.getcwd()
    import_module(os.environ["FLASK_APP"])
    for line in sys.stdin:
        words, variables = json.loads(line)
        with TemporaryFile() as output:
            process = os.fork()
            if process == 0:
                run_command(words, variables, output)
                return
            _, status = os.waitpid(process, 0)
            output.seek(0)
            code = os.waitstatus_to_exitcode(status)
            print(json.dumps([code, output.read().decode()]), flush=True)


def run_command(words, variables, output):
    """Run a module in this process, with its output in that file."""
    for stream in (sys.stdout, sys.stderr):
        os.dup2(output.fileno(), stream.fileno())
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
    os.environ.update(variables)
    module, *sys.argv[1:] = words
    run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    serve()
