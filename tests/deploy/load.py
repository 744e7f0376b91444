"""Clients under load: they read, register devices and upload files, and keep the responses.

A write without a response is repeated with its Idempotency-Key until it has one.
"""

import json
import socket
import ssl
import time
from collections import Counter
from contextlib import closing, contextmanager
from http.client import HTTPException, HTTPSConnection
from threading import Event, Thread
from uuid import uuid4

API = "/api/v1"
PACE = 0.05  # seconds between two calls of a client
LIMIT = 60  # seconds that an answer may take
RENEW = 300  # seconds after which a client signs in again
READERS, WRITERS = 3, 2
ROWS = 20  # of a file of devices


class Failed(Exception):
    """There was no response, or an unexpected one; the message says which."""


class Client:
    """A connection to the service of this name, on whatever machine that is."""

    def __init__(self, name, address, certificate):
        trust = ssl.create_default_context(cafile=certificate)
        self._connection = HTTPSConnection(name, timeout=LIMIT, context=trust)
        self._connection._create_connection = lambda answer, *others: (
            socket.create_connection((address, answer[1]), *others)
        )
        self._headers = {}

    def call(self, verb, path, body=None, wanted=200, **headers):
        """Return the parsed body of a response; raise Failed for another status."""
        headers = {name.replace("_", "-"): text for name, text in headers.items()}
        if isinstance(body, dict):
            body = json.dumps(body)
            headers["Content-Type"] = "application/json"
        try:
            self._connection.request(verb, path, body, self._headers | headers)
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, HTTPException) as error:
            self._connection.close()
            raise Failed(f"{verb} {path}: {error!r}") from None
        if answer.status != wanted:
            raise Failed(f"{verb} {path}: {answer.status} {text[:200]}")
        is_json = answer.headers["Content-Type"] == "application/json"
        return json.loads(text) if is_json else text.decode()

    def close(self):
        self._connection.close()

    def sign_in(self, username, password):
        """Have all calls from now on be this account's."""
        credentials = {"username": username, "password": password}
        token = self.call("POST", f"{API}/auth/login", credentials)["access_token"]
        self._headers["Authorization"] = f"Bearer {token}"


class Load:
    """The experience of the clients.

    `calls`: their number. `failures`: texts. `serials`: the serial numbers of
    acknowledged devices. `imports`: the addresses of acknowledged files of devices.
    """

    def __init__(self, client, *account):
        self.calls = Counter()
        self.failures = []
        self.serials = []
        self.imports = []
        self._client = client
        self._account = account
        self._over = Event()

    @contextmanager
    def going_on(self):
        """Readers and writers, while the block lasts."""
        kinds = [self._read] * READERS + [self._register] * WRITERS + [self._send_file]
        threads = [Thread(target=self._go_on, args=(kind,)) for kind in kinds]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def failed(self):
        """Return the failures since the last call of this method."""
        failures, self.failures = self.failures, []
        return failures

    def _go_on(self, kind):
        signed_in = float("-inf")
        with closing(self._client()) as client:
            while not self._over.is_set():
                if time.monotonic() - signed_in > RENEW:
                    self._until_answered(client.sign_in, *self._account)
                    signed_in = time.monotonic()
                kind(client)
                self._over.wait(PACE)

    def _until_answered(self, call, *arguments, **options):
        """Repeat a call that is safe to repeat until it returns a result."""
        while True:
            self.calls[call.__name__] += 1
            try:
                return call(*arguments, **options)
            except Failed as failure:
                self.failures.append(f"{time.strftime('%H:%M:%S')} {failure}")
                time.sleep(PACE)

    def _read(self, client):
        page = self._until_answered(client.call, "GET", f"{API}/devices/?sort=-id")
        for item in page["items"][:3]:
            self._until_answered(client.call, "GET", f"{API}/devices/{item['id']}")

    def _register(self, client):
        serial = uuid4().hex
        body = {"name": "Lamp", "location": "Hall", "type": "Light", "model": "E27"}
        self._write(client, "devices", body | {"serial_number": serial}, 201)
        self.serials.append(serial)

    def _send_file(self, client):
        serials = [uuid4().hex for _ in range(ROWS)]
        rows = [f"Lamp,Hall,Light,E27,{serial}" for serial in serials]
        file = "\n".join(["name,location,type,model,serial_number", *rows])
        result = self._write(client, "imports", file, 202, Content_Type="text/csv")
        self.imports.append(result["url"])
        self.serials += serials
        self._over.wait(1)

    def _write(self, client, where, body, wanted, **headers):
        return self._until_answered(
            *(client.call, "POST", f"{API}/{where}/", body, wanted),
            **{"Idempotency_Key": uuid4().hex},
            **headers,
        )
