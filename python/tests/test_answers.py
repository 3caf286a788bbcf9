"""Answers of what is no node, and of nodes: only these are believed."""

from __future__ import annotations

import gzip
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import larder
from larder import frame
from larder.frame import Place, Segment
from tests.conftest import Node
from tests.scripted import Reply, Scripted, answer, problem, served

PAGE = b"<html>sign in</html>"
CALLS: dict[str, Callable[[larder.ObjectService], Any]] = {
    "put": lambda o: o.put("k", 1),
    "put_raw": lambda o: o.put_raw("k", b"v"),
    "get": lambda o: o.get("k"),
    "get_raw": lambda o: o.get_raw("k"),
    "delete": lambda o: o.delete("k"),
    "info": lambda o: o.info("k"),
    "keys": lambda o: o.keys(""),
    "whoami": lambda o: o._client.whoami(),
}


@pytest.fixture
def server() -> Iterator[tuple[larder.ObjectService, type[Scripted]]]:
    with served() as (url, handler), larder.Client(url, "lrd_secret", retries=0) as client:
        yield larder.ObjectService(client), handler


Server = tuple[larder.ObjectService, type[Scripted]]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects(server: Server, call: str, status: int) -> None:
    objects, handler = server
    handler.script += [answer(status, PAGE, mark=False, Location="https://larder.internal/prefix/v1/objects/k?x=secret")]
    with pytest.raises(larder.ConfigError, match=r"LARDER_URL should be https://larder\.internal/prefix,") as caught:
        CALLS[call](objects)
    assert caught.value.status == status
    assert "secret" not in str(caught.value)
    assert len(handler.seen) == 1


@pytest.mark.parametrize("location", ["/sign-in", "https://[::1", "//", "https://a\tb/"])
def test_redirects_to_nowhere(server: Server, location: str) -> None:
    objects, handler = server
    handler.script += [answer(302, mark=False, Location=location)]
    with pytest.raises(larder.ConfigError, match="LARDER_URL"):
        objects.put("k", 1)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 300, 304])
@pytest.mark.parametrize("type_", ["text/html", "application/json"])
def test_answers_of_strangers(server: Server, call: str, status: int, type_: str) -> None:
    objects, handler = server
    handler.script += [answer(status, PAGE, mark=False, Content_Type=type_)] * 2
    with pytest.raises(larder.ConfigError, match="not an answer of a Larder node"):
        CALLS[call](objects)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", [202, 203, 206, 226, 304])
def test_statuses_that_nodes_do_not_have(server: Server, call: str, status: int) -> None:
    objects, handler = server
    handler.script += [answer(status, b"{}", Content_Type="application/json")]
    with pytest.raises(larder.ConfigError, match=str(status)):
        CALLS[call](objects)


@pytest.mark.parametrize("call", ["get", "get_raw", "keys", "whoami"])
def test_a_proxy_that_compresses(server: Server, call: str) -> None:
    objects, handler = server
    page = gzip.compress(b'{"keys":[],"cursor":"","org":"o","user":"u","role":"r"}')
    handler.script += [answer(200, page, Content_Type="application/json", Content_Encoding="gzip")]
    with pytest.raises(larder.ConfigError, match="Content-Encoding gzip, which nobody asked for"):
        CALLS[call](objects)


@pytest.mark.parametrize("status", [400, 404, 407, 410, 451])
def test_nobody_else_says_that_a_key_is_not_there(server: Server, status: int) -> None:
    objects, handler = server
    handler.script += [answer(status, mark=False)]
    with pytest.raises(larder.BadRequest, match="is LARDER_URL right"):
        assert "k" in objects


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b"{}", b"[]", b"1", b'{"keys":[{}],"cursor":""}', b'{"keys":[],"cursor":1}', b"\xff", b""]
)
@pytest.mark.parametrize("call", ["keys", "whoami"])
def test_json_of_another_shape(server: Server, call: str, body: bytes) -> None:
    objects, handler = server
    handler.script += [answer(200, body, Content_Type="application/json")]
    with pytest.raises(larder.LarderError, match="LARDER_URL"):
        CALLS[call](objects)


def test_deep_json_in_a_refusal(server: Server) -> None:
    objects, handler = server
    handler.script += [answer(400, b"[" * 60_000)]
    with pytest.raises(larder.BadRequest):
        objects.get("k")


def test_older_nodes_are_believed(server: Server) -> None:
    objects, handler = server
    who = answer(200, b'{"org":"a","user":"b","role":"c"}', mark=False, Content_Type="application/json")
    handler.script += [answer(201, mark=False, ETag='"e"'), answer(200, b"v", mark=False, Cache_Status="larder; hit; detail=memory")]
    handler.script += [answer(204, mark=False), who, answer(204, mark=False), answer(204, mark=False)]
    objects.put_raw("k", b"v")
    assert objects.get_raw("k") == b"v"
    objects.delete("k")
    with pytest.raises(larder.ConfigError):
        objects.delete("k")


@pytest.mark.parametrize(("body", "etag"), [(PAGE, '"e"'), (b"", 'W/"e"'), (b"", "e")])
def test_pages_with_a_tag(server: Server, body: bytes, etag: str) -> None:
    """Web frameworks give a page its ETag for any method."""
    objects, handler = server
    handler.script += [answer(200, body, mark=False, ETag=etag)]
    with pytest.raises(larder.ConfigError, match="not an answer of a Larder node"):
        objects.put_raw("k", b"v")


@pytest.mark.parametrize("modified", ["Sat, 07 Nov 3170843 00:00:00 GMT", "yesterday", ""])
def test_a_time_that_is_none(server: Server, modified: str) -> None:
    objects, handler = server
    handler.script += [answer(200, Last_Modified=modified)]
    with pytest.raises(larder.ServerError, match="info 'k'"):
        objects.info("k")


def test_a_time_that_is_none_keeps_nobody_from_the_value(server: Server) -> None:
    objects, handler = server
    sealed = frame.seal({"format": "text"}, [Segment(b"hi", 2)], Place("", "objects", "k"), None)
    handler.script += [answer(200, b"".join(map(bytes, sealed.parts)), Last_Modified="yesterday")]
    assert objects.get("k") == "hi"


@pytest.mark.parametrize("digest", ["sha-256=:abc:", "sha-256=:!!!!:", "sha-256=::", "sha-256=:aGk=:"])
def test_a_digest_that_is_none(server: Server, digest: str) -> None:
    objects, handler = server
    handler.script += [answer(200, b"hi", Repr_Digest=digest)]
    with pytest.raises(larder.IntegrityError):
        objects.get_raw("k")


def test_a_listing_that_does_not_go_on(server: Server) -> None:
    objects, handler = server
    page = b'{"keys":[{"key":"a","size":1,"etag":"e","modified":"2022-01-30T00:00:00.123456789Z"}],"cursor":"a"}'
    handler.script += [answer(200, page, Content_Type="application/json")] * 3
    with pytest.raises(larder.ServerError, match="does not go on after 'a'"):
        objects.keys("")
    assert len(handler.seen) == 2


def test_a_listing_whose_pages_lead_in_a_circle(server: Server) -> None:
    objects, handler = server
    pages = [b'{"keys":[],"cursor":"%s"}' % cursor for cursor in (b"a", b"b", b"a")]
    handler.script += [answer(200, page, Content_Type="application/json") for page in pages]
    with pytest.raises(larder.ServerError, match="does not go on"):
        objects.keys("")
    assert len(handler.seen) == 3


@pytest.mark.parametrize(
    ("reply", "error", "text"),
    [
        (problem(401, "no-credential"), larder.AuthError, "set LARDER_TOKEN"),
        (problem(401, "expired-credential"), larder.AuthError, "expired: set LARDER_TOKEN"),
        (problem(401, "bad-credential"), larder.AuthError, "LARDER_TOKEN"),
        (answer(413, PAGE, mark=False), larder.TooLarge, "client_max_body_size"),
        (problem(400, "bad-digest"), larder.BadRequest, "another thread"),
        (problem(507, "quota"), larder.TooLarge, "so it is"),
        (problem(502, "store-unexpected"), larder.ServerError, "so it is"),
        (problem(503, "not-written"), larder.Unavailable, "so it is"),
        (problem(504, "timeout"), larder.OutcomeUnknown, "so it is"),
        (answer(502, PAGE, mark=False), larder.OutcomeUnknown, "502"),
        (answer(503, PAGE, mark=False), larder.OutcomeUnknown, "503"),
        (answer(504, PAGE, mark=False), larder.OutcomeUnknown, "504"),
    ],
)
def test_texts(server: Server, reply: Reply, error: type[larder.LarderError], text: str) -> None:
    objects, handler = server
    handler.script += [reply]
    with pytest.raises(error, match=text) as caught:
        objects.put("DAX", 1)
    assert type(caught.value) is error
    assert str(caught.value).startswith("put 'DAX': ")
    assert "Bearer" not in str(caught.value)


def test_the_question_for_the_org_is_part_of_the_call() -> None:
    with served() as (url, handler), larder.Client(url, signing_key="0123456789abcdef", retries=0) as client:
        handler.script += [problem(401, "no-credential")]
        with pytest.raises(larder.AuthError, match=r"^get 'DAX': .*LARDER_TOKEN"):
            larder.ObjectService(client).get("DAX")


def test_a_listing_where_there_is_none(server: Server) -> None:
    objects, handler = server
    handler.script += [problem(404, "not-found")]
    with pytest.raises(larder.BadRequest, match="LARDER_URL goes too far"):
        objects.keys("")


def test_errors_name_the_request(server: Server) -> None:
    objects, handler = server
    handler.script += [problem(500, "internal"), problem(404, "not-found")]
    with pytest.raises(larder.ServerError, match=r"\(request request-1\)") as caught:
        objects.get("k")
    assert caught.value.request_id == "request-1"
    with pytest.raises(larder.NotFound) as missed:
        objects.get("k")
    assert missed.value.request_id == "request-1"


ODD = [
    "px//2022",
    "px/./2022",
    "px/../2022",
    "/px",
    "px/",
    "//",
    ".",
    "..",
    "s3://b/x",
    "a%2Fb",
    "a%2fb",
    "a\\b",
    "a;b",
    "a?b",
    "a#b",
    "...",
    "a/..b",
]
PLAIN = ["px/2022", "a b", "ä/ö", "N|2022-01-30T00:00:00+00:00||ab", ".hidden", "a.b/c..d", "a+b&c=d:e@f,g~"]


@pytest.mark.parametrize("key", [*ODD, *PLAIN])
def test_keys_that_proxies_change_travel_in_the_query(server: Server, key: str) -> None:
    objects, handler = server
    handler.script += [answer(201)]
    objects.put_raw(key, b"")
    path, _, query = handler.paths[0].partition("?")
    assert bool(query) == (key in ODD[:-1])
    assert "//" not in path
    assert "%2F" not in path


@pytest.mark.parametrize("key", [*ODD, *PLAIN])
def test_keys_that_proxies_change(objects: larder.ObjectService, node: Node, key: str) -> None:
    objects.put(key, key)
    assert objects.get(key) == key
    assert objects.info(key).key == key
    assert key in objects.keys("")
    objects.delete(key)
    assert key not in objects.keys("")


@pytest.mark.parametrize("call", sorted(set(CALLS) - {"whoami"}))
def test_errors_are_raised_by_the_service(server: Server, call: str) -> None:
    objects, handler = server
    handler.script += [problem(404, "not-found")]
    with pytest.raises(larder.LarderError) as caught:
        CALLS[call](objects)
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    assert frames[-1].f_code.co_filename.endswith(("objects.py", "service.py"))
    assert frames[-1].f_code.co_name == call
    shown = [frame for frame in frames if not frame.f_locals.get("__tracebackhide__")]
    assert [frame.f_code.co_name for frame in shown][2:] == [call]  # after this test, and its lambda
