"""The calls: functions that return `number` requests for a Server."""

import random
from base64 import b64encode
from itertools import cycle, islice
from typing import Callable, NamedTuple
from uuid import uuid4

import orjson
from dataset import DEVICES, FOREIGN_IDS, GUESTS, OWNERS, PASSWORD, READER_IDS
from load import BODY, drive


def get_device(server, number):
    return [
        server.request("GET", f"{DEVICES}{id}")
        for id in random.choices(READER_IDS, k=number)
    ]


def get_first_page(server, number):
    return [server.request("GET", f"{DEVICES}?{server.contender.page}")] * number


def register_device(server, number):
    return [server.request("POST", DEVICES, BODY, "writer")] * number


def register_once(server, number):
    return [
        server.request("POST", DEVICES, BODY, "writer", Idempotency_Key=uuid4().hex)
        for _ in range(number)
    ]


def fetch_tag(server, id):
    return drive(server.host, [server.request("GET", f"{DEVICES}{id}")]).tag


def get_unchanged(server, number):
    tags = [(id, fetch_tag(server, id)) for id in READER_IDS[:20]]
    return [
        server.request("GET", f"{DEVICES}{id}", If_None_Match=tag)
        for id, tag in islice(cycle(tags), number)
    ]


def replace_device(server, number):
    body = BODY | {"name": f"Thermostat {uuid4()}"}
    return [
        server.request("PUT", f"{DEVICES}{id}", body, If_Match=fetch_tag(server, id))
        for id in random.sample(READER_IDS[20:], number)  # the others keep their tags
    ]


def get_deep_page(server, number):
    page = server.request("GET", f"{DEVICES}?per_page=50&page=999", account="collector")
    link = orjson.loads(drive(server.host, [page]).body)["meta"]["next"]
    path = link[link.index(DEVICES) :]
    return [server.request("GET", path, account="collector")] * number


def send_heartbeat(server, number):
    body = {"battery": 87, "signal": -61}
    beats = [
        server.request("PUT", f"/api/v1/presence/{id}", body) for id in READER_IDS[:20]
    ]
    drive(server.host, beats)  # none is the first
    return list(islice(cycle(beats), number))


def basic_credentials(username):
    credentials = b64encode(f"{username}:{PASSWORD}".encode()).decode()
    return f"Basic {credentials}"


def sign_in_guests(server, number):
    guests = [server.guests.pop() for _ in range(GUESTS)]
    return [
        server.request("GET", "/api/v1/account", Authorization=basic_credentials(guest))
        for guest in guests
    ]


def sign_in(server, number):
    requests = [
        server.request(
            "GET", f"{DEVICES}{id}", Authorization=basic_credentials("reader")
        )
        for id in random.choices(READER_IDS, k=number)
    ]
    drive(server.host, requests[:20])  # each worker has now served it
    return requests


def post_invalid_body(server, number):
    return [server.request("POST", DEVICES, {"name": "", "colour": "red"})] * number


def get_foreign_device(server, number):
    return [
        server.request("GET", f"{DEVICES}{id}")
        for id in random.choices(FOREIGN_IDS, k=number)
    ]


def get_openapi(server, number):
    return [server.request("GET", "/openapi.json", account=None)] * number


def get_nothing(server, number):
    return [server.request("GET", "/nothing", account=None)] * number


class Call(NamedTuple):
    """A kind of request that is measured.

    `requests`: creates requests for a Server. `status`: the expected status. `holds`:
    returns whether the JSON of a response of a Contender is correct.
    """

    title: str
    requests: Callable
    status: int
    holds: Callable = lambda response, contender: True


def is_device(response, _):
    return response["location"] and response["serial_number"] and response["created_at"]


def is_page(response, contender):
    return len(response[contender.items]) == 50 and (
        contender.total(response) == OWNERS["reader"]
    )


# All contenders support these three.
SHARED = {
    "get": Call("GET one", get_device, 200, is_device),
    "page": Call("a page of 50, with its total", get_first_page, 200, is_page),
    "post": Call("POST", register_device, 201, is_device),
}
CALLS = SHARED | {
    "known": Call("GET one, If-None-Match", get_unchanged, 304),
    "deep": Call(
        "page 1,000, by its link", get_deep_page, 200, lambda t, _: t["meta"]["prev"]
    ),
    "once": Call("POST, with Idempotency-Key", register_once, 201, is_device),
    "put": Call("PUT, with If-Match", replace_device, 200, is_device),
    "heartbeat": Call(
        "a heartbeat", send_heartbeat, 200, lambda response, _: response["online"]
    ),
    "first-basic": Call("first call with a password", sign_in_guests, 200),
    "basic": Call("GET one, hundredth call with a password", sign_in, 200, is_device),
    "422": Call(
        "422", post_invalid_body, 422, lambda response, _: len(response["errors"]) == 6
    ),
    "404": Call(
        "404", get_foreign_device, 404, lambda response, _: response["request_id"]
    ),
    "openapi": Call(
        "/openapi.json", get_openapi, 200, lambda response, _: response["paths"]
    ),
    "nothing": Call("an empty view", get_nothing, 200),
}
# The limits of the project: the cost of one call relative to another.
RATIOS = {
    "304 to 200": (("ours", "known"), ("ours", "get")),
    "a heartbeat to GET one": (("ours", "heartbeat"), ("ours", "get")),
    "the hundredth password to a token": (("ours", "basic"), ("ours", "get")),
    "/openapi.json to an empty view": (("ours", "openapi"), ("ours", "nothing")),
    "rate limits, on to off": (("counted", "get"), ("ours", "get")),
}
