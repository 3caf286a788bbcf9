"""Nodes and proxies that do not know builds, or answer strangely: nobody is stopped, and the value is stored."""

from __future__ import annotations

import logging
import sys
import threading
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from typing import Any

import pytest

import larder
from larder import attempts, claims, cli, watch, workers
from tests.building import wait_until
from tests.scripted import Reply, Scripted, answer, lines, problem, served

WAIT = '{"event": "wait", "builder": "ada", "since": "2026-01-01T00:00:00Z", "elapsed": 14, "expect": 40, "progress": 0.4, "message": "x"}'


CLIENTS: list[larder.Client] = []


@pytest.fixture(autouse=True)
def asked_again() -> Iterator[None]:
    attempts._Off.until.clear()
    yield
    attempts._Off.until.clear()
    while CLIENTS:
        CLIENTS.pop().close()


class Node(Scripted):
    """A node that has nothing, and stores everything; ``posts`` are its answers to attempts to build."""

    posts: list[Reply]
    sent: list[tuple[str, str, str | None, bytes]]
    value: bytes

    def handle_request(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.sent.append((self.command, self.path, self.headers["Larder-Claim"], body))
        if self.path.startswith("/v1/builds"):
            reply = {"POST": lambda: self.posts.pop(0) if self.posts else lines()}.get(self.command, lambda: answer(204))()
            if self.command == "PUT":
                reply = answer(200, b"{}")
        else:
            reply = answer(201, ETag='"1"') if self.command == "PUT" else problem(404, "not-found")
        reply(self)

    do_GET = do_PUT = do_DELETE = do_HEAD = do_POST = handle_request  # noqa: N815


def node(*posts: Reply) -> Any:
    class Own(Node):
        pass

    Own.posts, Own.sent = list(posts), []
    return served(do_GET=Own.handle_request, do_PUT=Own.handle_request, do_DELETE=Own.handle_request, do_POST=Own.handle_request,
                  posts=Own.posts, sent=Own.sent)  # fmt: skip


def service(url: str, **more: Any) -> larder.ObjectService:
    CLIENTS.append(larder.Client(url, signing_key=[], progress=False, **more))
    return larder.ObjectService(CLIENTS[-1])


def puts(handler: Any) -> list[str | None]:
    return [claim for method, path, claim, _ in handler.sent if method == "PUT" and path.startswith("/v1/objects")]


REPLIES = {
    "an old node": problem(404, "no-route"),
    "an older node": answer(404, b"404 page not found", mark=False),
    "a method": problem(405, "method"),
    "overloaded": problem(503, "unavailable", Retry_After="9"),
    "too many": problem(429, "too-many", Retry_After="9"),
    "not allowed": problem(403, "read-only"),
    "a login page": answer(200, b"<html>", mark=False, Content_Type="text/html"),
    "a redirect": answer(302, Location="https://elsewhere/v1/builds"),
    "JSON": answer(200, b"{}", Content_Type="application/json"),
    "no lines": lines(),
    "no JSON": lines("<html>"),
    "no object": lines("[1]"),
    "a refusal": lines('{"event": "refused", "type": "urn:larder:problem:read-only", "status": 403}'),
    "unstored": lines('{"event": "unstored", "builder": "ada", "error": "no pickle"}'),
    "built, and gone": lines('{"event": "built", "etag": "1"}'),
    "a long line": lines("x" * 200_000),
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES.keys())
def test_the_function_is_called(reply: Reply, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(claims, "_LOST_AFTER", 0.1)
    caplog.set_level(logging.INFO, "larder")
    with node(*[reply] * 5) as (url, handler):
        assert service(url).build("key", lambda: 5) == 5
    assert puts(handler) == [None]
    assert len(caplog.records) <= 1, caplog.text


def test_a_node_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_OPEN_WAIT", 0.2)
    stay = threading.Event()

    def never(h: Scripted) -> None:
        stay.wait(10)

    with node(never) as (url, handler):
        assert service(url).build("key", lambda: 5) == 5
        stay.set()
    assert puts(handler) == [None]


def test_a_node_that_falls_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_SILENCE", 0.2)
    stay = threading.Event()
    with node(lines(WAIT, stay=stay), lines('{"event": "granted", "claim": "token"}', stay=stay)) as (url, handler):
        assert service(url).build("key", lambda: 5) == 5
        stay.set()
    assert puts(handler) == ["token"]
    attached = [body for method, _, _, body in handler.sent if method == "POST"]
    assert attached[0] == attached[1]  # the same waiter, in the same place


def test_what_does_not_know_builds_is_not_asked_each_time() -> None:
    with node(problem(404, "no-route")) as (url, handler):
        objects = service(url)
        for n in range(3):
            objects.build(f"key {n}", lambda: 5)
    assert [method for method, *_ in handler.sent].count("POST") == 1


def test_a_claim_is_lost() -> None:
    stay = threading.Event()

    def lost(h: Any) -> None:
        problem(409, "claim-lost")(h)

    with node(lines('{"event": "granted", "claim": "token"}', stay=stay)) as (url, handler):
        plain = handler.do_PUT

        def put(h: Any) -> None:
            if "/v1/objects" in h.path:
                h.rfile.read(int(h.headers["Content-Length"]))
                h.sent.append(("PUT", h.path, h.headers["Larder-Claim"], b""))
                lost(h)
            else:
                plain(h)

        handler.do_PUT = put
        assert service(url).build("key", lambda: 5) == 5  # the caller's own value, and no warning
        stay.set()
    assert puts(handler) == ["token"]


def test_a_failure_of_others() -> None:
    failed = lines(WAIT, '{"event": "failed", "builder": "ada", "error": "ValueError: no prices"}')
    with node(failed) as (url, handler), pytest.raises(larder.BuildFailed, match=r"by ada .* ValueError: no prices") as caught:
        service(url).build("key", lambda: 5)
    assert (caught.value.builder, caught.value.error) == ("ada", "ValueError: no prices")
    assert puts(handler) == []


@pytest.mark.parametrize(
    ("error", "told"), [(ValueError("no\nprices"), b'{"error": "ValueError: no"}'), (KeyboardInterrupt(), b"")], ids=["error", "interrupt"]
)
def test_a_failure_is_told(error: BaseException, told: bytes) -> None:
    stay = threading.Event()

    def build() -> int:
        raise error

    with node(lines('{"event": "granted", "claim": "token"}', stay=stay)) as (url, handler):
        with pytest.raises(type(error)):
            service(url).build("key", build)
        deadline = threading.Event()
        while not any(method == "DELETE" for method, *_ in handler.sent):
            assert not deadline.wait(0.01)
        stay.set()
    assert [(claim, body) for method, _, claim, body in handler.sent if method == "DELETE"] == [("token", told)]


def test_a_node_that_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who builds attaches again with the token, at another node if there is one."""
    stay, attached = threading.Event(), threading.Event()

    def again(h: Any) -> None:
        attached.set()
        lines('{"event": "granted", "claim": "token"}', stay=stay)(h)

    with node(lines('{"event": "granted", "claim": "token"}', '{"event": "moved"}'), again) as (url, handler):
        assert service(url).build("key", lambda: attached.wait(10)) is True
        stay.set()
    assert [claim for method, _, claim, _ in handler.sent if method == "POST"] == [None, "token"]
    assert puts(handler) == ["token"]


def test_a_claim_that_a_write_has_ended() -> None:
    """Who builds does not attach again: there is nothing to hold."""
    with node(lines('{"event": "granted", "claim": "token"}', '{"event": "built", "etag": "1"}')) as (url, handler):

        def function() -> int:
            wait_until(lambda: all(t.name != "larder claim" for t in threading.enumerate()), "nobody holds the claim")
            return 5

        assert service(url).build("key", function) == 5
    assert [method for method, *_ in handler.sent].count("POST") == 1
    assert puts(handler) == ["token"]


class _Terminal:
    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        return


NEWS = {"builder": "a\x1bda", "elapsed": 14, "expect": 4000, "progress": 0.4, "message": "loading\nprices"}


def test_what_a_terminal_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "200")
    shown = watch.Watch("DAX", shown=None)
    shown.update(NEWS)
    assert terminal.text == ""  # nothing within a second
    monkeypatch.setattr(watch, "_SHOWN_AFTER", 0.0)
    shown.update(NEWS)
    assert terminal.text == "\r\x1b[Ka da has been building 'DAX' for 14 s, which usually takes 67 min; 40%: loading prices"
    terminal.text = ""
    shown.close()
    assert terminal.text == "\r\x1b[K"


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (80, "ada has been building 'AAPL REINV|2022-01-30T00…' for 14 s; 40%: loading prices"),
        (72, "ada has been building 'AAPL REINV|2022-…' for 14 s; 40%: loading prices"),
        (36, "ada has been building 'AAPL REINV…'"),
    ],
)
def test_how_long_it_takes_is_shown_before_the_whole_key(monkeypatch: pytest.MonkeyPatch, columns: int, line: str) -> None:
    monkeypatch.setattr("sys.stderr", terminal := _Terminal())
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(watch, "_SHOWN_AFTER", 0.0)
    shown = watch.Watch("AAPL REINV|2022-01-30T00:00:00+00:00||1329835d1124b35955d3ce55b3de1912", shown=None)
    shown.update({"builder": "ada", "elapsed": 14, "progress": 0.4, "message": "loading prices"})
    assert terminal.text == f"\r\x1b[K{line}"


def test_what_the_log_says(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "larder")
    monkeypatch.setattr(watch, "_SHOWN_AFTER", 0.0)
    shown = watch.Watch("DAX", shown=False)
    for _ in range(3):
        shown.update(NEWS)
    assert [r.message.partition(" for ")[0] for r in caplog.records] == ["a da has been building 'DAX'"]


def test_who_does_not_wait_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    wish = attempts.Wish(expect=100.0)
    assert attempts.seconds_to_wait(wish, False, None) is None
    assert attempts.seconds_to_wait(wish, True, None) == 300.0
    assert attempts.seconds_to_wait(wish, True, {"expect": 5}) == 60.0
    assert attempts.seconds_to_wait(attempts.Wish(wait=3.0), True, None) == 3.0
    assert not workers.is_worker()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(workers.is_worker).result()
    with ThreadPool(1) as threads:
        assert threads.apply(workers.is_worker)
    mode = types.SimpleNamespace(global_worker=types.SimpleNamespace(mode=1))
    monkeypatch.setitem(sys.modules, "ray", types.SimpleNamespace(_private=types.SimpleNamespace(worker=mode)))
    assert workers.is_worker()


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    listed = b'{"builds": [{"key": "DAX", "builder": "ada", "elapsed": 14, "waiting": 3}]}'
    with served() as (url, handler):
        handler.script.extend([answer(200, listed, Content_Type="application/json")] * 2)
        monkeypatch.setenv("LARDER_URL", url)
        assert cli.main(["builds", "D"]) == 0
        assert cli.main(["builds", "--json"]) == 0
    text, _, rest = capsys.readouterr().out.partition("\n")
    assert text == "ada has been building 'DAX' for 14 s; 3 wait"
    assert '"waiting": 3' in rest
    assert handler.paths == ["/v1/builds/objects?prefix=D", "/v1/builds/objects"]
