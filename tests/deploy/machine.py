"""A bare server: Debian or Ubuntu with systemd and sshd, as a container of its own.

It boots in seconds, has a network, processes and a disk of its own, and leaves nothing.
Only root can make one, with systemd-nspawn, mmdebstrap and nftables installed:

    python tests/deploy/machine.py noble     boot one, and print how to connect
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))
from myapp.core.processes import spawn  # noqa: E402

IMAGES = Path("/var/tmp/myapp-images")
# Parts of a provider's image that a bootstrapped system lacks.
PACKAGES = (
    *("apt", "ca-certificates", "dbus", "iproute2", "libpam-systemd", "openssh-server"),
    *("systemd", "systemd-sysv"),
)
MIRRORS = {
    "bookworm": "http://deb.debian.org/debian",
    "noble": "http://archive.ubuntu.com/ubuntu",
}
PATIENCE = 60  # seconds to boot
# The server uses the package sources and the certificates of this machine.
OURS = ("/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")


class Machine:
    """A running server that accepts root's own key.

    `address`: its own; `neighbour`: ours, as it sees us; `key`: the path of a private
    key.
    """

    def __init__(self, address, neighbour, key):
        self.address = address
        self.neighbour = neighbour
        self.key = key

    def ssh(self, user="root"):
        """Return the start of a command line that runs a command there."""
        known = (
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
        )
        options = [
            word for option in (*known, "BatchMode=yes") for word in ("-o", option)
        ]
        return ["ssh", *options, "-i", self.key, f"{user}@{self.address}"]

    def run(self, command, user="root"):
        """Run a shell command there, return its output; raise RuntimeError if it fails."""
        done = subprocess.run(
            [*self.ssh(user), command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            raise RuntimeError(f"{command}: {done.returncode}\n{done.stdout}")
        return done.stdout


def image(suite):
    """Return the folder of a freshly installed system; install it once."""
    folder = IMAGES / suite
    if not folder.exists():
        IMAGES.mkdir(exist_ok=True)
        scratch = IMAGES / f"{suite}.{os.getpid()}"
        components = "main,universe" if suite == "noble" else "main"
        options = [
            "--variant=minbase",
            f"--include={','.join(PACKAGES)}",
            f"--components={components}",
        ]
        call("mmdebstrap", "--quiet", *options, suite, scratch, MIRRORS[suite])
        scratch.rename(folder)
    return folder


@contextmanager
def machine(suite="bookworm"):
    """Run a Machine while the block lasts; yield it when its sshd responds."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="machine-", dir="/var/tmp"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        root = stack.enter_context(disk(image(suite), folder))
        call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key")
        (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
        shutil.copy(folder / "key.pub", root / "root/.ssh/authorized_keys")
        for path in OURS:
            if os.path.exists(path):
                shutil.copy(path, root / path.lstrip("/"))
        (root / "etc/hostname").write_text("registry\n")
        (root / "etc/machine-id").write_text("")
        namespace, *addresses = stack.enter_context(network())
        result = Machine(*addresses, str(folder / "key"))
        with open(folder / "console", "wb") as console:
            process = spawn(
                [
                    *("systemd-nspawn", "--quiet", "--boot", "--directory", root),
                    *("--machine", namespace, "--register=no", "--keep-unit"),
                    *("--network-namespace-path", f"/run/netns/{namespace}"),
                    *("--resolv-conf=copy-host", "--link-journal=no", "--timezone=off"),
                    *("--console=read-only", "--kill-signal=SIGRTMIN+3"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
        stack.callback(end, process)
        deadline = time.monotonic() + PATIENCE
        while subprocess.run([*result.ssh(), "true"], capture_output=True).returncode:
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError((folder / "console").read_text(errors="replace"))
            time.sleep(0.2)
        yield result


@contextmanager
def disk(below, folder):
    """Yield a disk that begins as a copy of `below` and keeps its changes in `folder`."""
    for name in ("upper", "work", "root"):
        (folder / name).mkdir()
    layers = f"lowerdir={below},upperdir={folder}/upper,workdir={folder}/work"
    call("mount", "-t", "overlay", "overlay", "-o", layers, folder / "root")
    try:
        yield folder / "root"
    finally:
        call("umount", "--lazy", folder / "root")


@contextmanager
def network():
    """Yield a network namespace behind this host: its name and two addresses.

    The first address is its own, the second ours. Only this host can reach it.
    """
    taken = set(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else set()
    number = next(n for n in range(1, 250) if f"proof-{n}" not in taken)
    name, subnet = f"proof-{number}", f"10.231.{number}"
    forward = Path("/proc/sys/net/ipv4/ip_forward")
    before = forward.read_text()
    call("ip", "netns", "add", name)
    try:
        call("ip", "link", "add", name, "type", "veth", "peer", "host0", "netns", name)
        call("ip", "address", "add", f"{subnet}.1/30", "dev", name)
        call("ip", "link", "set", name, "up")
        inside = ("ip", "-n", name)
        call(*inside, "address", "add", f"{subnet}.2/30", "dev", "host0")
        for device in ("lo", "host0"):
            call(*inside, "link", "set", device, "up")
        call(*inside, "route", "add", "default", "via", f"{subnet}.1")
        rules = f"add chain ip {name} out {{ type nat hook postrouting priority 100; }}"
        call("nft", f"add table ip {name}")
        call("nft", rules)
        call("nft", f"add rule ip {name} out ip saddr {subnet}.0/30 masquerade")
        forward.write_text("1")
        yield name, f"{subnet}.2", f"{subnet}.1"
    finally:
        forward.write_text(before)
        subprocess.run(["nft", f"delete table ip {name}"])
        call("ip", "netns", "delete", name)


def end(process):
    """Shut it down, and if that takes too long, switch it off."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(PATIENCE / 4)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def call(*command):
    subprocess.run(list(map(str, command)), check=True, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with machine(*sys.argv[1:]) as created:
        print(*created.ssh(), flush=True)
        signal.pause()
