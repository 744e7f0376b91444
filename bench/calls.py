"""The calls: functions that return `number` requests for a Server."""

import random
from base64 import b64encode
from itertools import cycle, islice
from typing import Callable, NamedTuple
from uuid import uuid4

import orjson
from dataset import DEVICES, GUESTS, NOT_MINE, OWNERS, PASSWORD, READ
from load import BODY, drive


def one_device(server, number):
    return [
        server.ask("GET", f"{DEVICES}{id}") for id in random.choices(READ, k=number)
    ]


def first_page(server, number):
    return [server.ask("GET", f"{DEVICES}?{server.contender.page}")] * number


def registering(server, number):
    return [server.ask("POST", DEVICES, BODY, "writer")] * number


def registering_once(server, number):
    return [
        server.ask("POST", DEVICES, BODY, "writer", Idempotency_Key=uuid4().hex)
        for _ in range(number)
    ]


def tag_of(server, id):
    return drive(server.host, [server.ask("GET", f"{DEVICES}{id}")]).tag


def known_device(server, number):
    known = [(id, tag_of(server, id)) for id in READ[:20]]
    return [
        server.ask("GET", f"{DEVICES}{id}", If_None_Match=tag)
        for id, tag in islice(cycle(known), number)
    ]


def replacing(server, number):
    body = BODY | {"name": f"Thermostat {uuid4()}"}
    return [
        server.ask("PUT", f"{DEVICES}{id}", body, If_Match=tag_of(server, id))
        for id in random.sample(READ[20:], number)  # the others keep their tags
    ]


def deep_page(server, number):
    before = server.ask("GET", f"{DEVICES}?per_page=50&page=999", account="collector")
    link = orjson.loads(drive(server.host, [before]).body)["meta"]["next"]
    path = link[link.index(DEVICES) :]
    return [server.ask("GET", path, account="collector")] * number


def heartbeat(server, number):
    body = {"battery": 87, "signal": -61}
    beats = [server.ask("PUT", f"/api/v1/presence/{id}", body) for id in READ[:20]]
    drive(server.host, beats)  # none is the first
    return list(islice(cycle(beats), number))


def as_user(username):
    credentials = b64encode(f"{username}:{PASSWORD}".encode()).decode()
    return f"Basic {credentials}"


def first_password(server, number):
    guests = [server.guests.pop() for _ in range(GUESTS)]
    return [
        server.ask("GET", "/api/v1/account", Authorization=as_user(guest))
        for guest in guests
    ]


def password(server, number):
    requests = [
        server.ask("GET", f"{DEVICES}{id}", Authorization=as_user("reader"))
        for id in random.choices(READ, k=number)
    ]
    drive(server.host, requests[:20])  # each worker has now served it
    return requests


def wrong_body(server, number):
    return [server.ask("POST", DEVICES, {"name": "", "colour": "red"})] * number


def not_mine(server, number):
    return [
        server.ask("GET", f"{DEVICES}{id}") for id in random.choices(NOT_MINE, k=number)
    ]


def documents(server, number):
    return [server.ask("GET", "/openapi.json", account=None)] * number


def nothing(server, number):
    return [server.ask("GET", "/nothing", account=None)] * number


class Call(NamedTuple):
    """A kind of request that is measured.

    `requests`: creates requests for a Server. `status`: the expected status. `holds`:
    returns whether the JSON of a response of a Contender is correct.
    """

    title: str
    requests: Callable
    status: int
    holds: Callable = lambda answer, contender: True


def is_device(answer, _):
    return answer["location"] and answer["serial_number"] and answer["created_at"]


def is_page(answer, contender):
    return len(answer[contender.items]) == 50 and (
        contender.total(answer) == OWNERS["reader"]
    )


# All contenders answer these three.
SHARED = {
    "get": Call("GET one", one_device, 200, is_device),
    "page": Call("a page of 50, with its total", first_page, 200, is_page),
    "post": Call("POST", registering, 201, is_device),
}
CALLS = SHARED | {
    "known": Call("GET one, If-None-Match", known_device, 304),
    "deep": Call(
        "page 1,000, by its link", deep_page, 200, lambda t, _: t["meta"]["prev"]
    ),
    "once": Call("POST, with Idempotency-Key", registering_once, 201, is_device),
    "put": Call("PUT, with If-Match", replacing, 200, is_device),
    "heartbeat": Call(
        "a heartbeat", heartbeat, 200, lambda answer, _: answer["online"]
    ),
    "first-basic": Call("first call with a password", first_password, 200),
    "basic": Call("GET one, hundredth call with a password", password, 200, is_device),
    "422": Call("422", wrong_body, 422, lambda answer, _: len(answer["errors"]) == 6),
    "404": Call("404", not_mine, 404, lambda answer, _: answer["request_id"]),
    "openapi": Call("/openapi.json", documents, 200, lambda answer, _: answer["paths"]),
    "nothing": Call("an empty view", nothing, 200),
}
# The limits of the project: the cost of one call relative to another.
RATIOS = {
    "304 to 200": (("ours", "known"), ("ours", "get")),
    "a heartbeat to GET one": (("ours", "heartbeat"), ("ours", "get")),
    "the hundredth password to a token": (("ours", "basic"), ("ours", "get")),
    "/openapi.json to an empty view": (("ours", "openapi"), ("ours", "nothing")),
    "rate limits, on to off": (("counted", "get"), ("ours", "get")),
}
