"""Compare the service with other frameworks: the CPU time of each kind of request.

    make bench                                   everything: a quarter of an hour
    python bench/compare_frameworks.py --only ours,limit --calls get,page --rounds 3
    python bench/compare_frameworks.py --smoke      a test run of some seconds

    --only      contenders, see CONTENDERS      --databases  sqlite,postgresql
    --calls     calls, see CALLS                --rounds, --requests   how many
    --beside    another commit of the service, or a folder with one, to measure a change
    --soak      this many requests to the service alone, to measure the growth of its memory
    --profile   one call to the service alone; writes a flame graph to profile.svg

Each contender is a server of two processes behind the same nginx, on a copy of the same
database of 100,000 devices, with one log line per request. The features of production are
enabled. They take turns of 50 requests over four connections, in random order, so that
noise affects all equally; a round is some hundred requests of each kind to each. The result
is the CPU time: user and system time of the process tree of the server, without nginx, the
database and the client. The tables show the median of the rounds and its quartiles; a ratio
is the median of the ratios of the rounds. The tables are Markdown; progress is printed to
stderr.
"""

import argparse
import atexit
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from calls import CALLS
from contenders import CONTENDERS
from dataset import DATABASES
from report import report, row
from rounds import measure, play, stage
from support.databases import install
from support.nginx import NGINX_PATH

PROFILE_SECONDS = 10


def soak(database, calls, number, total):
    """Print how the memory of a worker grows over `total` requests of all kinds."""
    print(f"\n### {database}, memory over {total:,} requests\n")
    print(row("requests", "MB a worker"))
    print(row("---:", "---:"))
    with stage(database, ["ours"], 0) as ((server,), front):
        done = 0
        for tenth in range(11):
            while done < total * tenth / 10:
                for call in calls.values():
                    play(server, call, call.requests(server, number), front)
                    done += number
            print(row(f"{done:,}", f"{server.memory():.1f}"), flush=True)


def profile(database, call, number):
    """Write profile.svg: a flame graph of the workers of the service during one call."""
    with stage(database, ["ours"], 0) as ((server,), front):
        play(server, call, call.requests(server, number), front)
        command = [
            *(
                str(Path(sys.executable).with_name("py-spy")),
                "record",
                "--subprocesses",
            ),
            *("--pid", str(server.process.pid), "--output", "profile.svg"),
            *("--rate", "200", "--duration", str(PROFILE_SECONDS)),
        ]
        recorder = subprocess.Popen(command)
        while recorder.poll() is None:
            play(server, call, call.requests(server, number), front)
    sys.exit(recorder.returncode)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", type=names_parser(CONTENDERS), default=list(CONTENDERS)
    )
    parser.add_argument("--calls", type=names_parser(CALLS), default=list(CALLS))
    parser.add_argument(
        "--databases", type=names_parser(DATABASES), default=list(DATABASES)
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--soak", type=int)
    parser.add_argument("--profile", choices=[*CALLS.keys() - {"first-basic"}])
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--beside")
    options = parser.parse_args()
    if options.beside:
        CONTENDERS["beside"] = CONTENDERS["ours"]._replace(
            title=f"the service at {options.beside}", root=checkout(options.beside)
        )
        options.only.insert(1, "beside")
    if options.smoke:
        options.only, options.databases = ["ours", "limit"], ["sqlite"]
        options.rounds, options.requests = 1, 20
    install("nginx-light", shutil.which("nginx", path=NGINX_PATH))
    calls = {name: CALLS[name] for name in options.calls}
    for database in options.databases:
        if options.profile:
            profile(database, CALLS[options.profile], options.requests)
        elif options.soak:
            calls.pop("first-basic", None)  # the number of guests is limited
            soak(database, calls, options.requests, options.soak)
        else:
            plan = options.only, calls, options.rounds, options.requests
            report(database, *measure(database, *plan), calls)


def checkout(revision):
    """Return the folder with the files of a commit; a path is such a folder itself."""
    if Path(revision).is_dir():
        return Path(revision).resolve()
    folder = tempfile.TemporaryDirectory(prefix="bench-beside-")
    atexit.register(folder.cleanup)
    archive = subprocess.run(
        ["git", "archive", revision], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    subprocess.run(["tar", "-x", "-C", folder.name], input=archive.stdout, check=True)
    return Path(folder.name)


def names_parser(choices):
    """Return a parser of comma-separated names."""

    def parse(text):
        names = text.split(",")
        if unknown := set(names) - set(choices):
            raise argparse.ArgumentTypeError(f"{unknown} not in {list(choices)}")
        return names

    return parse


if __name__ == "__main__":
    main()
