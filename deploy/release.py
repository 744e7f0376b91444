"""Take a release that was copied here into service, and back again if it is bad.

    python3 release.py /srv/myapp 20261121T074000Z-5988402c1d2e

It runs on the server, as whoever may release. Until the link `current` leads to the new
folder, nothing of it is in service, and whatever goes wrong leaves all as it was. Then it
watches, and leads the link back when the service does not become ready. The name of an
older release takes that one into service again.
"""

import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from health_probe import send_request, workers

SETTINGS = Path("/etc/myapp/env")
SOCKET = "/run/myapp/web.sock"
STATS = "/run/myapp/stats.sock"
WEB, BACKGROUND = "myapp-web", ("myapp-worker", "myapp-beat")
KEPT_RELEASES = 5  # releases
REQUIRED_SUCCESSES = 5  # times in a row that the new release must say that it is ready
MAX_FAILURES = 3  # times in all that it may say otherwise
PAUSE_SECONDS = 0.3  # seconds between two times
SILENCE_SECONDS = 15  # seconds that nobody may say anything
# seconds that a release may take to be ready where nobody waits for it
REHEARSAL_SECONDS = 45
START_SECONDS = 15  # seconds that a process may take to start
# Seconds that one may take to end, or all to be well: units/, myapp.ini
FINISH_SECONDS = 340
UWSGI = ("-c", "import pyuwsgi; pyuwsgi.run()", "--ini", "myapp.ini")


class ReleaseError(Exception):
    """The release cannot be in service; the message says why."""


def main(destination, name):
    """Take releases/`name` into service, or exit with a message that says why not."""
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(
            number, lambda *_: sys.exit("Broken off; what runs goes on running.")
        )
    home = Path(destination)
    release, link = home / "releases" / name, home / "current"
    if not (release / "wsgi.py").is_file():
        sys.exit(f"There is no release {release}.")
    with open(home / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("Another release is under way.")
        running = link.resolve() if link.exists() else None
        try:
            prepare(release, running)
        except ReleaseError as error:
            sys.exit(f"Refused; what runs goes on running: {error}")
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # half of it would be worse
        began = time.monotonic()
        try:
            replace(home, release, running)
        except ReleaseError as error:
            if not running:
                sys.exit(f"It is in service, but: {error}")
            say(f"Taken back: {error}")
            roll_back(home, running, began)
        forget(home / "releases", {release, running})
    say(f"{name} is in service")


def roll_back(home, running, began):
    """Put `running` back into service, and exit; `began`: when the other one came."""
    try:
        replace(home, running, None, reds=float("inf"))
    except ReleaseError as error:
        sys.exit(f"{running.name} is back in its place, but: {error}")
    took = time.monotonic() - began
    sys.exit(f"{running.name} is back in service, after {took:.1f} s")


def prepare(release, running):
    """Build the release's environment, and try all that can be tried beforehand.

    Raises ReleaseError.
    """
    python = release / ".venv/bin/python"
    if not (release / "built").exists():
        say("Its environment")
        run(sys.executable, "-m", "venv", release / ".venv")
        options = ("--quiet", "--disable-pip-version-check", "--require-hashes")
        run(
            python, "-m", "pip", "install", *options, "-r", release / "requirements.txt"
        )
        run(python, "-m", "compileall", "-q", release / "myapp", release / "migrations")
        (release / "built").touch()
    there = {"cwd": release, "env": settings()}
    say("Does it import?")
    run(python, "-c", "import wsgi", **there)
    if running:
        say("Can the running release live with its migrations?")
        run(python, "-m", "flask", "gate", running, **there)
    say("Its migrations")
    run(python, "-m", "flask", "deploy", **there)
    say("Is it ready, where nobody else asks?")
    rehearse(python, **there)


def rehearse(python, cwd, env):
    """Start the release beside the running one, and end it when it is ready. Raises
    ReleaseError."""
    with tempfile.TemporaryDirectory() as folder:
        address, log = f"{folder}/web.sock", Path(folder, "log")
        env = env | {"INSTANCE_PATH": folder}
        with open(log, "wb") as output:
            process = subprocess.Popen(
                [python, *UWSGI, "--processes", "1", "--socket", address],
                cwd=cwd,
                env=env,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            deadline = time.monotonic() + REHEARSAL_SECONDS
            while (answer := ready(address))[0] != 200:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise ReleaseError(answer[1] or log.read_text(errors="replace"))
                time.sleep(PAUSE_SECONDS)
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(START_SECONDS)
            process.kill()


def settings():
    """The environment of the service's processes. Raises ReleaseError."""
    lines = shlex.split(SETTINGS.read_text(), comments=True)
    if not all("=" in line for line in lines):
        raise ReleaseError(
            f"in {SETTINGS} stands NAME=value, and quotes around spaces."
        )
    named = dict(line.split("=", 1) for line in lines)
    return os.environ | named | {"FLASK_CONFIG": "production"}


def replace(home, release, running, reds=MAX_FAILURES):
    """Lead the link to `release`, and have all processes replaced; one after another,
    where they are of `running`, and that will do.

    Returns when they are, and the service is ready; raises Bad once it has said so many
    times that it is not, or says nothing, or a process does not start.
    """
    before, since = set(workers(STATS)), time.monotonic()
    link = home / "next"
    link.unlink(missing_ok=True)
    link.symlink_to(release)
    link.replace(home / "current")
    # Of two such rounds at once, uWSGI forgets the second: back it goes all at once.
    if before and running and same_server(release, running):
        say("One worker after another")
        touch(home / "reload")
    else:
        say("All anew; calls wait in the socket meanwhile")
        touch(home / "restart")
    watch(before, since, reds)


def touch(file):
    """Have the processes replaced that somebody watches `file` for."""
    # uWSGI compares whole seconds.
    while int(file.stat().st_mtime) == int(time.time()):
        time.sleep(0.05)
    file.touch()


def watch(before, since, reds):
    """Return when all is well; `before`: the workers that are to go, `since`: from when
    on the other processes are to be new."""
    greens, heard, calm, moved, left = 0, since, since, since, before
    while True:
        time.sleep(PAUSE_SECONDS)
        status, body = ready()
        now, there = time.monotonic(), workers(STATS)
        if left != before & there.keys():
            left, moved = before & there.keys(), now
        elif now - moved > FINISH_SECONDS:
            raise ReleaseError(
                body or "its processes are not those that they should be."
            )
        if status == 200:
            heard = now
            greens += bool(there) and not left
        elif status:
            heard, greens, reds = now, 0, reds - 1
            if reds <= 0:
                raise ReleaseError(f"it says that it is not ready: {body}")
        elif state(WEB) == "deactivating":  # somebody still gets an answer
            heard = now
        elif now - heard > SILENCE_SECONDS:
            raise ReleaseError("it does not answer.")
        # Who is asked to end is at a task still; who is new has so long to start.
        late = [unit for unit in BACKGROUND if not started(unit, since)]
        starting = [unit for unit in late if state(unit) != "deactivating"]
        starting += [WEB for takes_calls in there.values() if not takes_calls]
        if not starting:
            calm = now
        elif now - calm > START_SECONDS:
            raise ReleaseError(
                f"{starting[0]} does not start; see journalctl -u {starting[0]}."
            )
        if greens >= REQUIRED_SUCCESSES and not late and not starting:
            return


def ready(address=SOCKET):
    """What /status/ready answers, as status and body; (None, "") where nobody does."""
    try:
        status, body = send_request(address, "/status/ready", 3)
    except OSError:
        return None, ""
    return status, body.strip()


def state(unit):
    return shown(unit, "ActiveState")


def started(unit, since):
    """Whether this service runs, and has been started since then."""
    moment = int(shown(unit, "ActiveEnterTimestampMonotonic")) / 1_000_000
    return state(unit) == "active" and moment > since


def shown(unit, name):
    command = ["systemctl", "show", "--value", "--property", name, unit]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def same_server(release, running):
    """Whether what a worker does not load for itself is the same in both: uWSGI, its
    settings, and Python."""
    return all(part(release) == part(running) for part in (ini, uwsgi, interpreter))


def ini(release):
    return (release / "myapp.ini").read_bytes()


def uwsgi(release):
    lines = (release / "requirements.txt").read_text().splitlines()
    return [line for line in lines if line.startswith("pyuwsgi==")]


def interpreter(release):
    return (
        (release / ".venv/pyvenv.cfg")
        .read_text()
        .partition("version")[2]
        .split("\n")[0]
    )


def forget(releases, kept):
    """Remove all but the newest releases, and those that are `kept`."""
    there = sorted(path for path in releases.iterdir() if path not in kept)
    for path in there[: -(KEPT_RELEASES - len(kept)) or None]:
        shutil.rmtree(path, ignore_errors=True)


def run(*command, **options):
    """Run it; what it says is for whoever releases. Raises ReleaseError where it fails."""
    if subprocess.run(list(map(str, command)), **options).returncode:
        raise ReleaseError("see above.")


def say(text):
    with suppress(OSError):  # whoever released has gone
        print(f"== {text}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
