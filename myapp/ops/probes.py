"""Look at the running service from outside."""

import http.client
import socket

from ..core.data.embedded_redis import PATIENCE

HOST = "127.0.0.1"


def refusal(port):
    """The OSError that meets whoever would listen on `port` of this machine, or None."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            return error


def readiness(port):
    """The status and body of /status/ready; (None, "") while nobody answers."""
    connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE)
    try:
        connection.request("GET", "/status/ready")
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException):
        return None, ""
    finally:
        connection.close()


def demo_accounts(config):
    """The name and password of each demo account that the settings name."""
    pairs = (
        (config[f"AUTH_USERNAME{number}"], config[f"AUTH_PASSWORD{number}"])
        for number in (1, 2)
    )
    return [pair for pair in pairs if all(pair)]
