"""Put a release into service, and roll back to the former one if it is bad.

    python3 release.py /srv/myapp 20261121T074000Z-5988402c1d2e

It runs on the server, as the account `deploy`. An error before the link `current` points to
the new folder changes nothing. After that, it watches the service, and resets the link if
the service does not become ready. The name of an older release rolls back to that release.
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
KEPT_RELEASES = 5
REQUIRED_SUCCESSES = 5  # consecutive times that the new release must be ready
MAX_FAILURES = 3  # times that it may be not ready
PAUSE_SECONDS = 0.3  # between two probes
SILENCE_SECONDS = 15  # without any answer
# Until a release must be ready in the rehearsal, without traffic.
REHEARSAL_SECONDS = 45
START_SECONDS = 15  # of a process
# The end of a process, which depends on units/ and myapp.ini.
FINISH_SECONDS = 340
UWSGI = ("-c", "import pyuwsgi; pyuwsgi.run()", "--ini", "myapp.ini")


class ReleaseError(Exception):
    """The release cannot be put into service; the message is the reason."""


def main(destination, name):
    """Put releases/`name` into service, or exit with the reason."""
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(
            number,
            lambda *_: sys.exit("Interrupted. The running release is unchanged."),
        )
    home = Path(destination)
    release, link = home / "releases" / name, home / "current"
    if not (release / "wsgi.py").is_file():
        sys.exit(f"There is no release {release}.")
    with open(home / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("Another deployment is running.")
        running = link.resolve() if link.exists() else None
        try:
            prepare(release, running)
        except ReleaseError as error:
            sys.exit(f"Refused. The running release is unchanged: {error}")
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(
                number, signal.SIG_IGN
            )  # an interrupted replacement would be worse
        began = time.monotonic()
        try:
            replace(home, release, running)
        except ReleaseError as error:
            if not running:
                sys.exit(f"It is in service, but: {error}")
            say(f"Rolled back: {error}")
            roll_back(home, running, began)
        forget(home / "releases", {release, running})
    say(f"{name} is in service")


def roll_back(home, running, began):
    """Put `running` back into service, and exit; `began`: the start of the other one."""
    try:
        replace(home, running, None, reds=float("inf"))
    except ReleaseError as error:
        sys.exit(f"{running.name} is restored, but: {error}")
    took = time.monotonic() - began
    sys.exit(f"{running.name} is back in service, after {took:.1f} s")


def prepare(release, running):
    """Build the environment of the release, and test it before it is in service.

    Raises ReleaseError.
    """
    python = release / ".venv/bin/python"
    if not (release / "built").exists():
        say("Build the environment")
        run(sys.executable, "-m", "venv", release / ".venv")
        options = ("--quiet", "--disable-pip-version-check", "--require-hashes")
        run(
            python, "-m", "pip", "install", *options, "-r", release / "requirements.txt"
        )
        run(python, "-m", "compileall", "-q", release / "myapp", release / "migrations")
        (release / "built").touch()
    there = {"cwd": release, "env": settings()}
    say("Import the application")
    run(python, "-c", "import wsgi", **there)
    if running:
        say("Check that the running release works with the migrations")
        run(python, "-m", "flask", "gate", running, **there)
    say("Run the migrations")
    run(python, "-m", "flask", "deploy", **there)
    say("Start it without traffic")
    rehearse(python, **there)


def rehearse(python, cwd, env):
    """Start the release beside the running one, and stop it once it is ready.

    Raises ReleaseError.
    """
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
    """Return the environment of the processes of the service. Raises ReleaseError."""
    lines = shlex.split(SETTINGS.read_text(), comments=True)
    if not all("=" in line for line in lines):
        raise ReleaseError(
            f"each line of {SETTINGS} must be NAME=value, with quotes around spaces."
        )
    named = dict(line.split("=", 1) for line in lines)
    return os.environ | named | {"FLASK_CONFIG": "production"}


def replace(home, release, running, reds=MAX_FAILURES):
    """Point the link to `release`, and replace all processes, one by one if possible.

    Return when they are replaced and the service is ready. Raises ReleaseError if it is not
    ready `reds` times, if it does not answer, or if a process does not start.
    """
    before, since = set(workers(STATS)), time.monotonic()
    link = home / "next"
    link.unlink(missing_ok=True)
    link.symlink_to(release)
    link.replace(home / "current")
    # uWSGI ignores a second reload during the first, so a rollback restarts everything.
    if before and running and same_server(release, running):
        say("Replace one worker after another")
        touch(home / "reload")
    else:
        say("Restart everything; requests wait in the socket")
        touch(home / "restart")
    watch(before, since, reds)


def touch(file):
    """Touch a file, so that uWSGI or systemd replaces the processes."""
    # uWSGI compares times in whole seconds.
    while int(file.stat().st_mtime) == int(time.time()):
        time.sleep(0.05)
    file.touch()


def watch(before, since, reds):
    """Wait until the new processes run and the service is ready.

    `before`: the process ids of the former workers. `since`: the time after which the other
    processes must have started.
    """
    greens, heard, calm, moved, left = 0, since, since, since, before
    while True:
        time.sleep(PAUSE_SECONDS)
        status, body = ready()
        now, there = time.monotonic(), workers(STATS)
        if left != before & there.keys():
            left, moved = before & there.keys(), now
        elif now - moved > FINISH_SECONDS:
            raise ReleaseError(body or "the former processes still run.")
        if status == 200:
            heard = now
            greens += bool(there) and not left
        elif status:
            heard, greens, reds = now, 0, reds - 1
            if reds <= 0:
                raise ReleaseError(f"it is not ready: {body}")
        elif state(WEB) == "deactivating":  # a request is still being answered
            heard = now
        elif now - heard > SILENCE_SECONDS:
            raise ReleaseError("it does not answer.")
        # A stopping process may still run a task; a new one has START_SECONDS to start.
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
    """Return the status and the body of /status/ready; (None, "") without an answer."""
    try:
        status, body = send_request(address, "/status/ready", 3)
    except OSError:
        return None, ""
    return status, body.strip()


def state(unit):
    """Return the state of a systemd unit."""
    return shown(unit, "ActiveState")


def started(unit, since):
    """Return whether a systemd unit is active and was started after `since`."""
    moment = int(shown(unit, "ActiveEnterTimestampMonotonic")) / 1_000_000
    return state(unit) == "active" and moment > since


def shown(unit, name):
    """Return a property of a systemd unit."""
    command = ["systemctl", "show", "--value", "--property", name, unit]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def same_server(release, running):
    """Return whether uWSGI, its configuration and Python are equal in two releases.

    A worker that restarts does not load these again.
    """
    return all(part(release) == part(running) for part in (ini, uwsgi, interpreter))


def ini(release):
    """Return the uWSGI configuration of a release."""
    return (release / "myapp.ini").read_bytes()


def uwsgi(release):
    """Return the version of uWSGI of a release, as locked."""
    lines = (release / "requirements.txt").read_text().splitlines()
    return [line for line in lines if line.startswith("pyuwsgi==")]


def interpreter(release):
    """Return the version of Python of a release."""
    return (
        (release / ".venv/pyvenv.cfg")
        .read_text()
        .partition("version")[2]
        .split("\n")[0]
    )


def forget(releases, kept):
    """Delete all releases but the newest ones and those in `kept`."""
    there = sorted(path for path in releases.iterdir() if path not in kept)
    for path in there[: -(KEPT_RELEASES - len(kept)) or None]:
        shutil.rmtree(path, ignore_errors=True)


def run(*command, **options):
    """Run a command, whose output is shown. Raises ReleaseError if it fails."""
    if subprocess.run(list(map(str, command)), **options).returncode:
        raise ReleaseError("see above.")


def say(text):
    """Print a step of the deployment."""
    with suppress(OSError):  # the connection is closed
        print(f"== {text}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
