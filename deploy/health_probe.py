"""Send a request to the web service over its socket, as nginx does.

python3 deploy/health_probe.py /run/myapp/web.sock /status/ready
"""

import json
import socket
import sys


def send_request(path, address, seconds=10):
    """Send GET `address` to the Unix socket `path`; return the status and the body.

    Raises OSError without a complete answer within `seconds`.
    """
    variables = {
        "REQUEST_METHOD": "GET",
        "REQUEST_URI": address,
        "PATH_INFO": address,
        "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/1.0",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "HTTP_HOST": "localhost",
        "REMOTE_ADDR": "127.0.0.1",
    }
    words = (word.encode() for pair in variables.items() for word in pair)
    payload = b"".join(len(word).to_bytes(2, "little") + word for word in words)
    # The header of the uwsgi protocol: type, length of the payload, one more byte.
    packet = b"\0" + len(payload).to_bytes(2, "little") + b"\0" + payload
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds)
        connection.connect(path)
        connection.sendall(packet)
        with connection.makefile("rb") as answer:
            head, _, body = answer.read().partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/"):
        raise OSError("the answer is incomplete")
    return int(head.split()[1]), body.decode()


def workers(path):
    """Return {process id: accepts requests} of the uWSGI workers; {} without uWSGI.

    `path`: the Unix socket of the statistics of uWSGI.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(3)
            connection.connect(path)
            stats = json.load(connection.makefile("rb"))
    except (OSError, ValueError):
        return {}
    return {worker["pid"]: bool(worker["accepting"]) for worker in stats["workers"]}


if __name__ == "__main__":
    status, body = send_request(*sys.argv[1:])
    print(status, body)
    sys.exit(status != 200)
