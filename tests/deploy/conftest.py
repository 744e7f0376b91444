"""A server that is set up as docs/deploy.md describes, and releases deployed to it."""

import os
import re
import subprocess
import time
from functools import partial

import pytest
from load import Client
from machine import ROOT, machine

NAME = "api.example.com"
ACCOUNT = "chief", "a password of your own"
CHAPTER = re.compile(r"^## Deploy$(.*?)^## ", re.DOTALL | re.MULTILINE)
COMMANDS = re.compile(r"^```sh$(.*?)^```$", re.DOTALL | re.MULTILINE)
TOOLS = {
    "ssh": 'exec /usr/bin/ssh -F "{folder}/ssh_config" "$@"',
    "scp": 'exec /usr/bin/scp -F "{folder}/ssh_config" "$@"',
    "curl": "exec /usr/bin/curl "
    '--resolve {name}:443:{address} --resolve {name}:80:{address} "$@"',
}
CONFIGURATION = """
Host {name}
    HostName {address}
    UserKnownHostsFile {folder}/known_hosts
    StrictHostKeyChecking accept-new
    LogLevel ERROR
Match host {address} user root
    IdentityFile {key}
"""


class Server:
    """The machine, and a checkout from which releases are deployed."""

    def __init__(self, machine, folder):
        self.machine = machine
        self.checkout = folder / "checkout"
        self.certificate = folder / "certificate"
        self.chapter = CHAPTER.search((ROOT / "docs/deploy.md").read_text())[1]
        self._path = f"{folder / 'bin'}:{os.environ['PATH']}"
        facts = {"name": NAME, "address": machine.address, "key": machine.key}
        (folder / "ssh_config").write_text(CONFIGURATION.format(folder=folder, **facts))
        (folder / "bin").mkdir()
        for tool, text in TOOLS.items():
            path = folder / "bin" / tool
            path.write_text(f"#!/bin/sh\n{text.format(folder=folder, **facts)}\n")
            path.chmod(0o755)
        git = ["git", "clone", "--quiet", ROOT, self.checkout]
        subprocess.run(git, check=True)

    def sh(self, commands, **variables):
        """Run commands in the checkout and return their exit code and output."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=self.checkout,
            env=os.environ | variables | {"PATH": self._path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        print(done.stdout)  # pytest shows it where a test has failed
        return done.returncode, done.stdout

    def push(self, release):
        """Release what was first checked out with these changes: texts by path, where a
        pair of texts stands for what is replaced and by what. As `sh`."""
        self.sh("git reset --quiet --hard origin/HEAD && git clean --quiet --force")
        for path, text in release.items():
            file = self.checkout / path
            if not isinstance(text, str):
                before = file.read_text()
                assert text[0] in before
                text = before.replace(*text)
            file.write_text(text)
        author = "-c user.name=author -c user.email=author@example.com"
        self.sh(
            f"git add --all && git {author} commit --quiet --allow-empty -m release"
        )
        return self.sh(
            "deploy/push",
            DEPLOY_HOST=NAME,
            DEPLOY_USERNAME="deploy",
            DEPLOY_DESTINATION="/srv/myapp",
            DEPLOY_KEY=(self.checkout / "deploy_key").read_text(),
            DEPLOY_HOST_KEY=self.machine.run("cat /etc/ssh/ssh_host_ed25519_key.pub"),
        )

    @property
    def client(self):
        """A factory of Clients."""
        return partial(Client, NAME, self.machine.address, self.certificate)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Yield a Server on which the commands of the chapter have run."""
    with machine(os.environ.get("SUITE", "bookworm")) as host:
        deployed = Server(host, tmp_path_factory.mktemp("deploy"))
        try:
            code, _ = deployed.sh("".join(COMMANDS.findall(deployed.chapter)))
            assert code == 0
            certificate = host.run("cat /etc/myapp/tls/fullchain.pem")
            deployed.certificate.write_text(certificate)
            yield deployed
        finally:
            print(host.run("journalctl --no-pager --lines 300"))


def until(condition):
    """Wait for a condition, a minute at most."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)
