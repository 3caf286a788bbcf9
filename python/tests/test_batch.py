"""Batches: what they carry, and what is left to requests of its own when a node is older or a proxy breaks them."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import quote, unquote

import pytest

import larder
from larder import batch, many
from larder.client import Client
from tests.scripted import Reply, Scripted, answer, problem, served

KEYS = ["a", "b/c d", "missing", "ü%2F", "z"]
FRAME: dict[str, Any] = {"Content_Type": "application/vnd.larder.frame", "Cache_Status": "larder; hit; detail=memory"}


@pytest.fixture(autouse=True)
def batches_are_tried() -> None:
    batch._Off.until.clear()


@pytest.fixture
def requests(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The methods of the requests since the last call."""
    caplog.set_level(logging.DEBUG, "larder")

    def methods() -> list[str]:
        found = [r.getMessage().split()[0] for r in caplog.records if r.levelno == logging.DEBUG]
        caplog.clear()
        return found

    return methods


def test_many_go_in_one_exchange(objects: larder.ObjectService, unique: str, requests: Callable[[], list[str]]) -> None:
    values: dict[str, Any] = {f"{unique}/{i} %2F?": [i] for i in range(40)}
    objects.put_many(values, expires_in=3600)
    assert requests() == ["POST"]
    assert objects.get_many([*values, f"{unique}/none"]) == values
    assert requests() == ["POST"]
    info = objects.info(next(iter(values)))
    assert (info.format, info.content_type, info.writer) == ("json", "application/vnd.larder.frame", "anonymous")
    assert info.expires is not None
    assert objects.keys(unique).entries[0].expires is not None


def test_large_ones_go_alone(objects: larder.ObjectService, unique: str, requests: Callable[[], list[str]]) -> None:
    values = {f"{unique}/{i}": os.urandom(1 << 20) if i == 1 else b"small" for i in range(3)}
    objects.put_many(values)
    assert sorted(requests()) == ["POST", "PUT"]
    assert objects.get_many(objects.keys(unique)) == values  # whose sizes are known
    assert sorted(requests()) == ["GET", "GET", "POST"]
    assert objects.get_many(values) == values
    assert requests() == ["POST"]


def test_batches_are_bounded(objects: larder.ObjectService, unique: str, requests: Callable[[], list[str]]) -> None:
    values = {f"{unique}/{i}": i for i in range(many._PUTS * 2 + 1)}
    objects.put_many(values)
    assert requests() == ["POST", "POST", "PUT"]
    noise = {f"{unique}/n{i}": os.urandom(60_000) for i in range(20)}
    objects.put_many(noise)
    assert requests() == ["POST", "POST"]
    assert objects.get_many([*values, *noise]) == values | noise


def test_signed_values_are_verified(node: Any, unique: str) -> None:
    with larder.Client(node.url, signing_key="a-key-of-the-whole-group") as client:
        signed = larder.ObjectService(client)
        signed.put_many({f"{unique}/{i}": i for i in range(3)})
        signed.put_raw(f"{unique}/stolen", signed.get_raw(f"{unique}/1"))
        with pytest.raises(larder.PartialError, match="copied from another place") as caught:
            signed.get_many(signed.keys(unique))
    assert caught.value.done == {f"{unique}/{i}": i for i in range(3)}
    assert isinstance(caught.value.failed[f"{unique}/stolen"], larder.IntegrityError)


def test_errors_are_values_too(objects: larder.ObjectService, unique: str) -> None:
    values = {f"{unique}/{i}": larder.NotFound(f"of {i}") for i in range(2)}
    objects.put_many(values)
    assert list(map(str, objects.get_many(values).values())) == ["of 0", "of 1"]


# A node that answers as one of the tests says.


class Fake:
    """What a node has, and what it does with batches."""

    def __init__(self, client: Client) -> None:
        self.bodies = {key: b"".join(map(bytes, client.seal("objects", key, [key]).parts)) for key in KEYS if key != "missing"}
        self.stored: dict[str, bytes] = {}
        self.batches: list[Reply] = []
        self.lock = threading.Lock()

    def __call__(self, h: Scripted) -> None:
        if h.command == "POST":
            with self.lock:
                reply = self.batches.pop(0) if len(self.batches) > 1 else self.batches[0]
            return reply(h)
        key = unquote(h.path.removeprefix("/v1/objects/").removeprefix("/v1/objects?key="))
        if h.command == "PUT":
            self.stored[key] = h.body
            return answer(201, ETag='"x"')(h)
        if key not in self.bodies:
            return problem(404, "not-found")(h)
        return answer(200, self.bodies[key], **FRAME)(h)

    def parts(self, keys: list[str]) -> bytes:
        found = b""
        for key in keys:
            there, body = key in self.bodies, self.bodies.get(key, b'{"type":"urn:larder:problem:not-found"}')
            fields = {
                "Content-Location": f"/v1/objects/{quote(key, safe='')}",
                "Larder-Status": "200" if there else "404",
                "Content-Length": str(len(body)),
                **(FRAME if there else {"Content-Type": "application/problem+json"}),
            }
            text = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
            found += b"\r\n--b\r\n" + text.encode() + b"\r\n" + body
        return found[2:] + b"\r\n--b--\r\n"


@pytest.fixture
def fake() -> Iterator[tuple[larder.ObjectService, Fake, type[Scripted]]]:
    with served(do_GET=_again, do_PUT=_again, do_POST=_again) as (url, handler), larder.Client(url, retries=1, timeout=3) as client:
        node = Fake(client)
        handler.script.append(node)
        yield larder.ObjectService(client), node, handler


def _again(h: Scripted) -> None:
    h.script.append(h.script[0])
    Scripted.handle_request(h)


def of_parts(body: bytes, kind: str = "multipart/mixed; boundary=b") -> Reply:
    return answer(200, body, Content_Type=kind)


def cut(body: bytes) -> Reply:
    """Announces more than comes."""

    def reply(h: Scripted) -> None:
        h.send_response(200)
        h.send_header("Larder-Request", "request-1")
        h.send_header("Content-Type", "multipart/mixed; boundary=b")
        h.send_header("Content-Length", str(len(body) + 100))
        h.end_headers()
        h.wfile.write(body)
        h.close_connection = True

    return reply


EXPECTED = {key: [key] for key in KEYS if key != "missing"}


def test_a_batch_of_gets(fake: Any) -> None:
    objects, node, handler = fake
    node.batches = [of_parts(node.parts(KEYS))]
    assert objects.get_many(KEYS) == EXPECTED
    assert handler.seen == ["POST"]
    assert json.loads(json.dumps(handler.paths)) == ["/v1/batch/objects"]
    assert not batch.is_off(objects._client)


@pytest.mark.parametrize(
    "reply",
    [
        problem(404, "no-route"),
        problem(405, "method"),
        answer(413, b"<html>too large</html>", mark=False),
        answer(200, b"<html>sign in</html>", mark=False, Content_Type="text/html"),
        answer(200, b"<html>sign in</html>", Content_Type="text/html"),
        answer(302, Location="https://sso.example/"),
        answer(502, b"bad gateway", mark=False),
        problem(503, "busy"),
        of_parts(b""),
        of_parts(b"--b--\r\n"),
        of_parts(b"--c\r\n\r\n--c--\r\n"),
        cut(b""),
        cut(b"--b\r\n"),
    ],
)
def test_who_knows_no_batches_is_asked_for_each(reply: Reply, fake: Any) -> None:
    objects, node, handler = fake
    node.batches = [reply]
    assert objects.get_many(KEYS) == EXPECTED
    assert handler.seen.count("GET") == len(KEYS)
    assert batch.is_off(objects._client)
    del handler.seen[:]
    objects.put_many({"a": 1, "b": 2})
    assert handler.seen == ["PUT", "PUT"]
    batch._Off.until.clear()
    objects.put_many({"c": 1, "d": 2})
    assert sorted(handler.seen) == ["POST", *["PUT"] * 4]
    assert sorted(node.stored) == ["a", "b", "c", "d"]
    objects.get("a")  # a broken batch is no broken node


def test_broken_off_anywhere(fake: Any) -> None:
    objects, node, handler = fake
    whole = node.parts(KEYS)
    for at in range(0, len(whole) - 3, 97):
        batch._Off.until.clear()
        node.batches = [cut(whole[:at])]
        assert objects.get_many(KEYS) == EXPECTED, at
    batch._Off.until.clear()
    del handler.seen[:]
    node.batches = [cut(whole[: whole.index(b"missing")])]
    assert objects.get_many(KEYS) == EXPECTED
    assert handler.seen.count("GET") == 3  # for what had not come


@pytest.mark.parametrize(
    "change",
    [
        lambda whole: whole.replace(b"Larder-Status: 200", b"Larder-Status: ok", 1),
        lambda whole: re.sub(rb"Content-Length: \d+", b"Content-Length: 5", whole, count=1),
        lambda whole: re.sub(rb"Content-Length: \d+", b"Content-Length: -5", whole, count=1),
        lambda whole: re.sub(rb"Content-Length: \d+\r\n", b"", whole, count=1),
        lambda whole: whole.replace(b"Larder-Status: 200", b"Larder-Status 200", 1),
        lambda whole: whole.replace(b"/v1/objects/a", b"/v1/objects/z", 1),
        lambda whole: b"--b\r\nX: " + b"x" * 100_000 + whole,
        lambda whole: whole.replace(b"\r\n\r\n", b"\n\n"),
    ],
)
def test_a_batch_that_was_changed(change: Callable[[bytes], bytes], fake: Any) -> None:
    objects, node, _ = fake
    node.batches = [of_parts(change(node.parts(KEYS)))]
    assert objects.get_many(KEYS) == EXPECTED


def test_what_may_be_tried_again_is(fake: Any) -> None:
    objects, node, handler = fake
    node.batches = [of_parts(node.parts(KEYS).replace(b"Larder-Status: 200", b"Larder-Status: 503", 2))]
    assert objects.get_many(KEYS) == EXPECTED
    assert handler.seen.count("GET") == 2


def test_what_is_damaged_is_named(fake: Any) -> None:
    objects, node, _ = fake
    node.batches = [of_parts(node.parts(KEYS).replace(b'["z"]', b'["y"]'))]
    with pytest.raises(larder.PartialError, match="altered or damaged") as caught:
        objects.get_many(KEYS)
    assert caught.value.done == {key: value for key, value in EXPECTED.items() if key != "z"}
    assert caught.value.failed["z"].__traceback__ is None


def line(key: str, status: int, name: str | None = None) -> bytes:
    type_ = None if name is None else f"urn:larder:problem:{name}"
    return json.dumps({"key": key, "status": status, "etag": '"x"', "type": type_, "detail": "so it is"}).encode() + b"\n"


def test_a_batch_of_puts(fake: Any) -> None:
    objects, node, handler = fake
    lines = line("b", 201) + line("a", 200) + line("c", 403, "forbidden") + line("d", 507, "quota") + line("e", 503, "busy")
    node.batches = [answer(200, lines, Content_Type="application/x-ndjson")]
    with pytest.raises(larder.PartialError, match="2 of 6 keys failed") as caught:
        objects.put_many(dict.fromkeys("abcdef", 1))
    assert {key: type(error) for key, error in caught.value.failed.items()} == {"c": larder.AuthError, "d": larder.TooLarge}
    assert caught.value.failed["d"].type == "quota"
    assert str(caught.value.failed["d"]) == "put 'd': so it is"
    assert handler.seen == ["POST", "PUT", "PUT"]
    assert sorted(node.stored) == ["e", "f"]  # of which one was refused for a moment, and one had no line


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"{",
        b"[]\n",
        b'{"key": "a"}\n',
        b'{"key": 5, "status": 201}\n',
        b'{"key": "", "status": 400, "etag": null, "type": "urn:larder:problem:bad-request"}\n',
        b"x" * 100_000,
    ],
)
def test_lines_that_say_nothing(lines: bytes, fake: Any) -> None:
    objects, node, _ = fake
    node.batches = [answer(200, lines, Content_Type="application/x-ndjson")]
    objects.put_many({"a": 1, "b": 2})
    assert sorted(node.stored) == ["a", "b"]


def test_values_that_cannot_be_stored_are_named(objects: larder.ObjectService, unique: str) -> None:
    with pytest.raises(larder.PartialError) as caught:
        objects.put_many({f"{unique}/a": 1, f"{unique}/b": threading.Lock(), f"{unique}/c": 2, "": 3})
    assert {key: type(e) for key, e in caught.value.failed.items()} == {f"{unique}/b": larder.EncodeError, "": larder.BadRequest}
    assert objects.get_many([f"{unique}/a", f"{unique}/c"]) == {f"{unique}/a": 1, f"{unique}/c": 2}


def test_an_interrupt_does_not_wait_for_the_rest() -> None:
    released = threading.Event()
    begun: list[str] = []

    def hang(key: str) -> None:
        begun.append(key)
        if len(begun) == 2:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        released.wait(20)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background processes ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            list(many.in_threads((partial(hang, key) for key in "abcdef"), 2))
    finally:
        signal.signal(signal.SIGINT, before)
    released.set()
    assert begun == ["a", "b"]


# Listings with metadata.

ENTRY = {"key": "DAX", "size": 5, "etag": '"x"', "modified": "2026-01-02T03:04:05.123456789Z"}


def test_infos_by_one_listing() -> None:
    first = ENTRY | {
        "content_type": "application/vnd.larder.frame",
        "writer": "ada",
        "build_seconds": 2.5,
        "python": "3.11.7",
        "libraries": "numpy=2.4.6 pandas=3.1.1",
        "expires": "2026-02-02T03:04:05Z",
        "code": "3.11:ff",
    }
    nothing = dict.fromkeys(("writer", "build_seconds", "python", "libraries", "expires", "code"))
    raw = ENTRY | nothing | {"key": "raw", "content_type": "text/plain"}
    unknown = ENTRY | nothing | {"key": "unknown", "content_type": None}
    page = json.dumps({"keys": [first, raw, unknown], "cursor": ""}).encode()
    with served() as (url, handler), larder.Client(url) as client:
        handler.script += [answer(200, page, Content_Type="application/json"), answer(200, b"12345", Larder_Writer="bob")]
        infos = larder.ObjectService(client).info_many("")
        assert handler.paths == ["/v1/objects?limit=10000&meta=true", "/v1/objects/unknown"]
    dax, raw_info, last = infos
    assert (dax.writer, dax.build_seconds, dax.python, dax.libraries["pandas"]) == ("ada", 2.5, "3.11.7", "3.1.1")
    assert (dax.meta["code"], str(dax.expires)) == ("3.11:ff", "2026-02-02 03:04:05+00:00")
    assert (raw_info.content_type, raw_info.writer, raw_info.build_seconds, raw_info.libraries) == ("text/plain", "", None, {})
    assert last.writer == "bob"


@pytest.mark.parametrize(
    "reply", [problem(400, "bad-query"), answer(200, b'{"keys": [%s], "cursor": ""}', Content_Type="application/json")]
)
def test_infos_of_an_older_node(reply: Reply) -> None:
    page = json.dumps({"keys": [ENTRY], "cursor": ""}).encode()
    listing = answer(200, page, Content_Type="application/json")
    with served() as (url, handler), larder.Client(url) as client:
        handler.script += [reply, listing, answer(200, b"12345", Larder_Writer="bob")]
        assert [i.writer for i in larder.ObjectService(client).info_many("D")] == ["bob"]
        assert handler.seen == ["GET", "GET", "HEAD"]
