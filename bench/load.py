"""A cheap load generator, and the resources that a server has used."""

import os
import re
import select
import socket
import time
from pathlib import Path
from typing import NamedTuple

CONNECTIONS = 4
CPUCLOCK_SCHED = 2  # the clock of a whole process, see clock_getcpuclockid(3)
BODY = {  # of a POST
    "name": "Kitchen Thermostat",
    "location": "Kitchen",
    "type": "Thermostat",
    "model": "Acova TAFFETAS2",
    "serial_number": "ACOV-09494",
}


class Round(NamedTuple):
    """The result of requests: statuses, total seconds, seconds of each, last response."""

    statuses: set
    wall: float
    latencies: list
    last: bytes

    @property
    def body(self):
        return self.last.partition(b"\r\n\r\n")[2]

    @property
    def tag(self):
        """Return the ETag of the last response."""
        head = self.last.partition(b"\r\n\r\n")[0].decode()
        return re.search("^etag: (.*)\r?$", head, re.I | re.M)[1].strip()


def encode_request(verb, path, host, headers, body=b""):
    """Return a request as bytes."""
    lines = [f"{verb} {path} HTTP/1.1", f"Host: {host}", "Accept: application/json"]
    lines += [f"{name}: {text}" for name, text in headers.items()]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def drive(host, requests):
    """Send requests over some open connections, one at a time on each; return the Round.

    Raises ConnectionError.
    """
    waiting = list(reversed(requests))
    statuses, latencies, pending = set(), [], {}
    poll = select.epoll()
    name, port = host.split(":")
    connections = [
        socket.create_connection((name, int(port)))
        for _ in range(min(CONNECTIONS, len(requests)))
    ]
    started_at = time.perf_counter()
    for connection in connections:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poll.register(connection, select.EPOLLIN)
        pending[connection.fileno()] = connection, b"", time.perf_counter()
        connection.sendall(waiting.pop())
    while pending:
        for number, _ in poll.poll():
            connection, data, sent = pending[number]
            part = connection.recv(1 << 18)
            if not part:
                raise ConnectionError(data.decode() or "hung up")
            data += part
            if not is_complete(data):
                pending[number] = connection, data, sent
                continue
            now = time.perf_counter()
            latencies.append(now - sent)
            statuses.add(int(data[9:12]))
            if waiting:
                pending[number] = connection, b"", time.perf_counter()
                connection.sendall(waiting.pop())
            else:
                del pending[number]
                poll.unregister(number)
                connection.close()
    wall = time.perf_counter() - started_at
    poll.close()
    return Round(statuses, wall, latencies, data)


def is_complete(data):
    """Return whether a response is complete. Raises ValueError without a Content-Length."""
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


# Resources of a server


def tree(root):
    """Return the ids of a process and all its descendants."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(fields(stat)[1])
        except OSError:  # it has ended
            continue
    results = [root]
    for pid in results:
        results += [child for child, parent in parents.items() if parent == pid]
    return results


def fields(stat):
    """Return the fields of /proc/PID/stat after the name, see proc(5)."""
    return stat.read_text().rpartition(")")[2].split()


def cpu(pids):
    """Return the CPU seconds of processes, with nanosecond resolution."""
    return sum(time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED) for pid in pids)


def system_cpu(pids):
    """Return the CPU seconds in the kernel, to a hundredth for each process."""
    ticks = sum(int(fields(Path(f"/proc/{pid}/stat"))[12]) for pid in pids)
    return ticks / os.sysconf("SC_CLK_TCK")


def private_memory(pid):
    """Return the private memory of a process in bytes."""
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(row.split()[1]) for row in rows if row.startswith("Private_"))
