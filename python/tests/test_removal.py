"""Removing all keys with a prefix, by one request and one by one."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

import larder
from larder import Removed
from tests.conftest import StartNode
from tests.scripted import Reply, Scripted, answer, problem, served


def line(deleted: int, size: int = 0, *failed: tuple[str, str], **more: Any) -> bytes:
    entries = [{"key": key, "type": f"urn:larder:problem:{name}"} for key, name in failed]
    return json.dumps({"deleted": deleted, "bytes": size, "failed": entries, **more}).encode() + b"\n"


def of_lines(*texts: bytes) -> Reply:
    return answer(200, b"".join(texts), Content_Type="application/x-ndjson")


def test_lines_add_up() -> None:
    with served() as (url, handler), larder.Client(url) as client:
        objects = larder.ObjectService(client)
        handler.script += [of_lines(line(1000, 5000, through="k"), line(3, 17)), of_lines(line(7, 70)), of_lines(line(0))]
        assert objects.remove_by_prefix("a/ b") == Removed(1003, 5017)
        assert objects.remove_by_prefix("a", dry_run=True) == Removed(7, 70, dry_run=True)
        assert objects.remove_by_prefix("a", older_than=datetime.timedelta(minutes=1), writer="ada") == Removed()
        assert handler.seen == ["DELETE"] * 3
        assert handler.paths == [
            "/v1/objects?prefix=a%2F%20b",
            "/v1/objects?prefix=a&dry_run=true",
            "/v1/objects?prefix=a&older_than=60&writer=ada",
        ]


def test_an_environment_narrows() -> None:
    with served() as (url, handler), larder.Client(url) as client:
        strategies = larder.init("2022-01-30", client=client).strategy_service()
        handler.script += [of_lines(line(1, 1))]
        strategies.remove_by_prefix("a", env_date=datetime.date(2022, 1, 30), env_hash="0f")
        assert handler.paths == ["/v1/strategies?prefix=a&env_date=2022-01-30&env_hash=0f"]
        wrong: list[dict[str, Any]] = [
            {"older_than": -1},
            {"older_than": "1"},
            {"older_than": float("nan")},
            {"writer": ""},
            {"env_hash": 5},
        ]
        for arguments in wrong:
            with pytest.raises(larder.BadRequest, match=next(iter(arguments))):
                strategies.remove_by_prefix("a", **arguments)
        with pytest.raises(larder.BadRequest, match="of strategies"):
            larder.ObjectService(client).remove_by_prefix("a", env_hash="0f")
        assert len(handler.seen) == 1


def test_what_stays_is_named() -> None:
    with served() as (url, handler), larder.Client(url) as client:
        handler.script += [of_lines(line(5, 50, ("a/1", "forbidden")), line(0, 0, ("a/2", "unavailable"), ("a/3", "strange")))]
        with pytest.raises(larder.PartialError, match="3 of 8 keys failed: 'a/1': delete 'a/1': it is another's") as caught:
            larder.ObjectService(client).remove_by_prefix("a/")
        kinds = {"a/1": larder.AuthError, "a/2": larder.Unavailable, "a/3": larder.ServerError}
        assert {key: type(error) for key, error in caught.value.failed.items()} == kinds


def test_an_answer_that_is_cut_goes_on() -> None:
    whole = line(1000, 5000, ("a/1", "unavailable")) + line(5, 5)

    def cut(h: Scripted) -> None:
        h.send_response(200)
        h.send_header("Larder-Request", "request-1")
        h.send_header("Content-Type", "application/x-ndjson")
        h.send_header("Content-Length", str(len(whole)))
        h.end_headers()
        h.wfile.write(whole[:-10])
        h.close_connection = True

    with served() as (url, handler), larder.Client(url) as client:
        objects = larder.ObjectService(client)
        handler.script += [cut, of_lines(line(6, 6)), cut, of_lines(line(6, 6))]
        assert objects.remove_by_prefix("a/") == Removed(1006, 5006)
        assert objects.remove_by_prefix("a/", dry_run=True) == Removed(6, 6, dry_run=True)


@pytest.mark.parametrize(
    "refusal", [problem(405, "method-not-allowed"), problem(404, "no-route"), problem(400, "bad-key"), answer(200, b"<html>")]
)
def test_an_older_node_removes_one_by_one(refusal: Reply) -> None:
    def entry(key: str, day: int) -> dict[str, Any]:
        return {"key": key, "size": 5, "etag": '"x"', "modified": f"2026-01-{day:02}T00:00:00Z"}

    page = answer(200, json.dumps({"keys": [entry("a1", 1), entry("a2", 2)], "cursor": ""}).encode(), Content_Type="application/json")
    by_whom = [answer(200, b"12345", Larder_Writer="ada"), answer(200, b"12345", Larder_Writer="bob")]

    def reply(h: Scripted) -> None:
        h.script.append(reply)
        if h.command == "DELETE":
            return (refusal if "prefix" in h.path else answer(204))(h)
        return (page if h.command == "GET" else by_whom[h.path.endswith("a2")])(h)

    with served() as (url, handler), larder.Client(url) as client:
        objects = larder.ObjectService(client)
        handler.script.append(reply)
        assert objects.remove_by_prefix("a", dry_run=True) == Removed(2, 10, dry_run=True)
        assert objects.remove_by_prefix("a") == Removed(2, 10)
        assert objects.remove_by_prefix("a", older_than=1 << 30) == Removed()
        del handler.paths[:]
        assert objects.remove_by_prefix("a", writer="bob") == Removed(1, 5)
        assert handler.paths[-1] == "/v1/objects/a2"


@pytest.mark.parametrize(("refusal", "error"), [(problem(403, "forbidden"), larder.AuthError), (problem(500, "fault"), larder.ServerError)])
def test_a_refusal_is_a_refusal(refusal: Reply, error: type[Exception]) -> None:
    with served() as (url, handler), larder.Client(url, retries=0) as client:
        handler.script += [refusal]
        with pytest.raises(error):
            larder.ObjectService(client).remove_by_prefix("a")


def test_of_a_node(start_node: StartNode, unique: str) -> None:
    with larder.Client(start_node().url) as client:
        env = larder.init("2022-01-30", client=client)
        objects, strategies = env.object_service(), env.strategy_service()
        objects.put_many({f"{unique}/{i}": i for i in range(20)} | {f"{unique}0": 1})
        size = sum(e.size for e in objects.keys(f"{unique}/").entries)
        assert objects.remove_by_prefix(f"{unique}/", dry_run=True) == Removed(20, size, dry_run=True)
        assert objects.remove_by_prefix(f"{unique}/", older_than=3600) == Removed()
        assert objects.remove_by_prefix(f"{unique}/", writer="nobody") == Removed()
        assert objects.remove_by_prefix(f"{unique}/", writer="anonymous") == Removed(20, size)
        assert objects.keys() == [f"{unique}0"]
        keys = [larder.init(day, client=client).strategy_service().cache_strategy(_Strategy())[0] for day in ("2022-01-30", "2022-01-31")]
        assert strategies.remove_by_prefix("S", env_date="2022-01-31").count == 1
        assert strategies.get_keys_by_prefix("S") == keys[:1]
        assert strategies.remove_by_prefix("S", env_hash=env.env_hash).count == 1


class _Strategy:
    name = "S"
