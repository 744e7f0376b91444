"""Ask what listens on a port of this machine, and whether it is the service."""

import http.client
import socket

HOST = "127.0.0.1"
TIMEOUT_SECONDS = 10


def bind_error(port):
    """Return the OSError that listening on `port` would raise; None if it is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            return error


def readiness(port):
    """Return the status and body of /status/ready; (None, "") without an answer."""
    connection = http.client.HTTPConnection(HOST, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/status/ready")
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException):
        return None, ""
    finally:
        connection.close()
