"""A load generator that costs less than what it loads, and what a server paid for it."""

import os
import re
import select
import socket
import time
from pathlib import Path
from typing import NamedTuple

CONNECTIONS = 4
CPUCLOCK_SCHED = 2  # of a whole process, see clock_getcpuclockid(3)
BODY = {  # what is posted
    "name": "Kitchen Thermostat",
    "location": "Kitchen",
    "type": "Thermostat",
    "model": "Acova TAFFETAS2",
    "serial_number": "ACOV-09494",
}


class Round(NamedTuple):
    """What came of some requests: all statuses there were, seconds that all took
    together, seconds that each took, and the last answer."""

    statuses: set
    wall: float
    latencies: list
    last: bytes

    @property
    def body(self):
        return self.last.partition(b"\r\n\r\n")[2]

    @property
    def tag(self):
        """The ETag."""
        head = self.last.partition(b"\r\n\r\n")[0].decode()
        return re.search("^etag: (.*)\r?$", head, re.I | re.M)[1].strip()


def request(verb, path, host, headers, body=b""):
    """A request as it goes over the wire."""
    lines = [f"{verb} {path} HTTP/1.1", f"Host: {host}", "Accept: application/json"]
    lines += [f"{name}: {text}" for name, text in headers.items()]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def drive(host, requests):
    """Send all requests over a few connections that stay open, each when the answer to
    the one before it is there; returns the Round. Raises ConnectionError."""
    waiting = list(reversed(requests))
    statuses, latencies, busy = set(), [], {}
    poll = select.epoll()
    name, port = host.split(":")
    connections = [
        socket.create_connection((name, int(port)))
        for _ in range(min(CONNECTIONS, len(requests)))
    ]
    began = time.perf_counter()
    for connection in connections:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poll.register(connection, select.EPOLLIN)
        busy[connection.fileno()] = connection, b"", time.perf_counter()
        connection.sendall(waiting.pop())
    while busy:
        for number, _ in poll.poll():
            connection, data, sent = busy[number]
            part = connection.recv(1 << 18)
            if not part:
                raise ConnectionError(data.decode() or "hung up")
            data += part
            if not is_whole(data):
                busy[number] = connection, data, sent
                continue
            now = time.perf_counter()
            latencies.append(now - sent)
            statuses.add(int(data[9:12]))
            if waiting:
                busy[number] = connection, b"", time.perf_counter()
                connection.sendall(waiting.pop())
            else:
                del busy[number]
                poll.unregister(number)
                connection.close()
    wall = time.perf_counter() - began
    poll.close()
    return Round(statuses, wall, latencies, data)


def is_whole(data):
    """Whether an answer is complete. Raises ValueError where it tells no length."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return False
    start = data.find(b"Content-Length: ", 0, head)
    if start < 0:
        if data[9:12] == b"304":
            return True
        raise ValueError(data[:head].decode())
    start += len(b"Content-Length: ")
    return len(data) >= head + 4 + int(data[start : data.find(b"\r\n", start)])


# What a server paid


def tree(root):
    """The ids of a process and of all that it started."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(fields(stat)[1])
        except OSError:  # it has just ended
            continue
    results = [root]
    for pid in results:
        results += [child for child, parent in parents.items() if parent == pid]
    return results


def fields(stat):
    """What stands in /proc/PID/stat behind the name, see proc(5)."""
    return stat.read_text().rpartition(")")[2].split()


def cpu(pids):
    """Seconds of CPU that these processes have used, to the nanosecond."""
    return sum(time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED) for pid in pids)


def system_cpu(pids):
    """How many of those were the kernel's, to a hundredth for each process."""
    ticks = sum(int(fields(Path(f"/proc/{pid}/stat"))[12]) for pid in pids)
    return ticks / os.sysconf("SC_CLK_TCK")


def private_memory(pid):
    """Bytes of memory that a process has for itself alone."""
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(row.split()[1]) for row in rows if row.startswith("Private_"))
