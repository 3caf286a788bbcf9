"""What services do with keys: defaults, conditions, copies, many keys, and what a miss says."""

from __future__ import annotations

import dataclasses
import datetime
import pickle
import subprocess
import sys
import time
import uuid
from typing import Any

import pandas as pd
import pytest

import larder
from larder.client import Client
from tests.conftest import Node

SECRET = "a-key-of-the-whole-group"


@pytest.fixture
def prefix() -> str:
    """Keys of this test alone."""
    return f"{uuid.uuid4().hex}/"


@pytest.fixture
def signed(node: Node) -> larder.ObjectService:
    """The object service, for a client that signs."""
    return larder.ObjectService(larder.Client(node.url, signing_key=SECRET))


@dataclasses.dataclass
class Strategy:
    name: str


def test_as_a_mapping(objects: larder.ObjectService, prefix: str) -> None:
    key = f"{prefix}a"
    assert objects.get(key, default=5) == 5
    assert objects.get(key, None) is None
    assert key not in objects
    assert 5 not in objects
    assert "" not in objects
    assert "a\nb" not in objects
    with pytest.raises(KeyError):
        objects[key]
    count = len(objects)
    objects[key] = 1
    assert objects[key] == objects.get(key, 5) == 1
    assert key in objects
    assert key in list(objects)
    assert len(objects) == count + 1
    del objects[key]
    with pytest.raises(KeyError):
        del objects[key]
    assert bool(objects)


def test_iteration_is_by_pages(objects: larder.ObjectService, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    objects.put_many({f"{prefix}{i:02}": i for i in range(25)})
    pages: list[int] = []
    entries = Client._page

    def small(self: Client, service: str, _: str, cursor: str, patient: bool, filters: Any) -> Any:
        page = entries(self, service, prefix, cursor, patient, {**filters, "limit": "10"})
        pages.append(len(page[0]))
        return page

    monkeypatch.setattr(Client, "_page", small)
    iterator = iter(objects)
    assert next(iterator) == f"{prefix}00"
    assert pages == [10]
    assert len(list(iterator)) == 24
    assert pages == [10, 10, 5]


def test_if_absent(objects: larder.ObjectService, prefix: str) -> None:
    key = f"{prefix}once"
    objects.put(key, 1, if_absent=True)
    with pytest.raises(larder.Conflict, match=r"an object of 2\d{3}-\d\d-\d\d \d\d:\d\d UTC by anonymous is there") as caught:
        objects.put(key, 1, if_absent=True)
    assert caught.value.status == 412
    assert objects[key] == 1


def test_if_match(objects: larder.ObjectService, prefix: str) -> None:
    key = f"{prefix}once"
    objects[key] = 1
    etag = objects.info(key).etag
    objects.put(key, 2, if_match=etag)
    with pytest.raises(larder.Conflict, match="by anonymous is there"):
        objects.put(key, 3, if_match=etag)
    assert objects[key] == 2
    del objects[key]
    with pytest.raises(larder.Conflict, match="there is nothing under this key any more"):
        objects.put(key, 3, if_match=etag)
    for arguments in ({"if_match": ""}, {"if_match": 5}, {"if_match": "a\nb"}, {"if_match": etag, "if_absent": True}):
        bad: Any = arguments
        with pytest.raises(larder.BadRequest, match="if_match"):
            objects.put(key, 1, **bad)


def test_an_answer_that_was_lost_is_no_conflict(objects: larder.ObjectService, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put = Client._put

    def twice(*args: Any, **kwargs: Any) -> None:
        put(*args, **kwargs)
        put(*args, **kwargs)  # as a client does that saw no answer

    monkeypatch.setattr(Client, "_put", twice)
    objects.put(f"{prefix}once", 1, if_absent=True)
    with pytest.raises(larder.Conflict):  # another put of the same value is another put
        objects.put(f"{prefix}once", 1, if_absent=True)


def test_copy_and_rename(signed: larder.ObjectService, prefix: str) -> None:
    value = pd.DataFrame({"x": range(1000)})
    signed.put(f"{prefix}a", value, build_seconds=2.5)
    signed.copy(f"{prefix}a", f"{prefix}b")
    signed.rename(f"{prefix}b", f"{prefix}c")
    signed.rename(f"{prefix}c", f"{prefix}c")
    assert signed.keys(prefix) == [f"{prefix}a", f"{prefix}c"]
    assert signed[f"{prefix}c"].equals(value)
    assert signed.info(f"{prefix}c").build_seconds == 2.5
    assert signed.info(f"{prefix}c").libraries == signed.info(f"{prefix}a").libraries
    signed.put_raw(f"{prefix}raw", b"from curl", "text/plain")
    signed.copy(f"{prefix}raw", f"{prefix}raw2")
    assert signed.get_raw(f"{prefix}raw2") == b"from curl"
    assert signed.info(f"{prefix}raw2").content_type == "text/plain"
    with pytest.raises(larder.NotFound):
        signed.copy(f"{prefix}nothing", f"{prefix}d")
    with pytest.raises(larder.BadRequest):
        signed.copy(f"{prefix}a", "")
    assert f"{prefix}a" in signed


def test_a_copy_does_not_sign_what_was_not_signed(
    node: Node, objects: larder.ObjectService, signed: larder.ObjectService, prefix: str
) -> None:
    objects.put(f"{prefix}a", [1])
    with pytest.raises(larder.IntegrityError):
        signed.copy(f"{prefix}a", f"{prefix}b")
    assert f"{prefix}b" not in signed


def test_many(objects: larder.ObjectService, prefix: str) -> None:
    values = {f"{prefix}{i:03}": [i] for i in range(50)}
    objects.put_many(values)
    wanted = list(reversed(values))
    got = objects.get_many([*wanted, f"{prefix}nothing", wanted[0]])
    assert got == values
    assert list(got) == wanted
    assert objects.get_many(objects.keys(prefix)) == values
    assert objects.get_many([]) == {}
    infos = objects.info_many(prefix)
    assert [i.key for i in infos] == list(values)
    assert {i.writer for i in infos} == {"anonymous"}
    with pytest.raises(larder.BadRequest, match="several keys"):
        objects.get_many("key")
    with pytest.raises(larder.BadRequest, match="a mapping"):
        objects.put_many([1])  # type: ignore[arg-type]


def test_some_of_many_fail(objects: larder.ObjectService, prefix: str) -> None:
    with pytest.raises(larder.PartialError, match=rf"put_many: 1 of 3 keys failed: '{prefix}b\\nc': ") as caught:
        objects.put_many({f"{prefix}a": 1, f"{prefix}b\nc": 2, f"{prefix}d": 3})
    assert isinstance(caught.value.failed[f"{prefix}b\nc"], larder.BadRequest)
    assert objects.keys(prefix) == [f"{prefix}a", f"{prefix}d"]
    objects.put_raw(f"{prefix}raw", b"no frame")
    with pytest.raises(larder.PartialError, match="get_raw") as caught:
        objects.get_many(objects.keys(prefix))
    assert caught.value.done == {f"{prefix}a": 1, f"{prefix}d": 3}
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert list(again.failed) == [f"{prefix}raw"]


def test_remove_by_prefix(objects: larder.ObjectService, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    objects.put_many({f"{prefix}{i}": i for i in range(9)})
    found = objects.remove_by_prefix(prefix, dry_run=True)
    assert (found.count, found.bytes, found.dry_run) == (9, sum(e.size for e in objects.keys(prefix).entries), True)
    assert str(found).startswith("9 keys, ")
    assert str(found).endswith(" would be removed")
    assert str(objects.remove_by_prefix(f"{prefix}0", dry_run=True)).startswith("1 key, ")
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return "n" if len(asked) == 1 else "y"

    monkeypatch.setattr("sys.ps1", ">>> ", raising=False)
    monkeypatch.setattr("builtins.input", answer)
    assert objects.remove_by_prefix(prefix).count == 0
    assert len(objects.keys(prefix)) == 9
    assert objects.remove_by_prefix(prefix).count == 9
    objects.put(f"{prefix}again", 1)
    assert objects.remove_by_prefix(prefix, ask=False).count == 1
    assert asked == [f"{found} under {prefix!r}. Remove them? [y/N] "] * 2
    assert objects.keys(prefix) == []
    nothing = objects.remove_by_prefix(prefix)
    assert (nothing.count, nothing.dry_run) == (0, False)
    for bad in ("", None, 5):
        with pytest.raises(larder.BadRequest, match="not empty"):
            objects.remove_by_prefix(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [EOFError, NotImplementedError])
def test_nobody_can_answer(error: type[Exception], objects: larder.ObjectService, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> str:
        raise error

    monkeypatch.setattr("builtins.input", fail)
    objects.put(f"{prefix}a", 1)
    with pytest.raises(larder.BadRequest, match=r"nobody can answer here.*ask=False"):
        objects.remove_by_prefix(prefix, ask=True)
    assert f"{prefix}a" in objects


def test_nobody_is_asked_in_a_program(objects: larder.ObjectService, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("it asks"))
    objects.put(f"{prefix}a", 1)
    assert str(objects.remove_by_prefix(prefix)).endswith(" removed")


# Strategies.


def test_strategies(client: larder.Client, prefix: str) -> None:
    env = larder.init("2022-01-30", client=client, universe="DAX")
    service = env.strategy_service()
    keys = service.cache_strategy({"first": Strategy(f"{prefix}A"), "second": Strategy(f"{prefix}B")})  # a mapping's values
    assert service.get_many(keys) == {keys[0]: Strategy(f"{prefix}A"), keys[1]: Strategy(f"{prefix}B")}
    assert keys[0] in service
    assert [i.key for i in service.info_many(prefix)] == keys
    moved = larder.init("2022-01-31", client=client, universe="DAX").strategy_service()
    moved.copy(keys[0], moved.key_of(f"{prefix}A"))
    assert moved.get_strategy_by_name(f"{prefix}A") == Strategy(f"{prefix}A")
    assert service.remove_by_prefix(prefix).count == 3


@pytest.mark.parametrize("what", [pd.DataFrame({"name": [1]}), pd.DataFrame(), pd.Series([1])])
def test_no_strategy(what: Any, client: larder.Client) -> None:
    with pytest.raises(larder.NotBuilt, match=r"a (DataFrame|Series) is no strategy"):
        larder.init("2022-01-30", client=client).strategy_service().cache_strategy(what)


def test_which_setting_differs(client: larder.Client, prefix: str) -> None:
    name = f"{prefix}A"
    larder.init("2022-01-30", client=client, universe="DAX", costs=0.1, password="hunter2").strategy_service().cache_strategy(
        Strategy(name)
    )
    others: list[tuple[dict[str, Any], str]] = [
        ({"universe": "SPX", "costs": 0.1, "password": "hunter2"}, "(universe: 'DAX' there, 'SPX' here)"),
        ({"universe": "DAX", "password": "hunter2"}, "(costs: 0.1 there, none here)"),
        ({"universe": "DAX", "costs": "0.1", "password": "hunter2"}, "(costs: 0.1 there, '0.1' here)"),
        ({"universe": "DAX", "costs": 0.1, "password": "hunter3"}, "(password: a value of digest "),
    ]
    for settings, difference in others:
        with pytest.raises(larder.NotFound) as caught:
            larder.init("2022-01-30", client=client, **settings).strategy_service().get_strategy_by_name(name)
        assert difference in str(caught.value)
        assert "hunter" not in str(caught.value)


def test_a_name_in_other_capitals(client: larder.Client) -> None:
    name = f"Aapl Reinv {uuid.uuid4().hex}"
    service = larder.init("2022-01-30", client=client).strategy_service()
    service.cache_strategy(Strategy(name))
    for near in (name.upper(), name.lower(), name.replace(" ", "  "), f"{name} "):
        with pytest.raises(larder.NotFound, match=rf"there is '{name}' \(is the name right\?\)"):
            service.get_strategy_by_name(near)


@pytest.mark.parametrize("error", [larder.ServerError("no listing"), larder.Unavailable("throttled"), ValueError("strange")])
def test_a_miss_is_a_miss(error: Exception, client: larder.Client, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    patience: list[bool] = []

    def fail(self: Client, service: str, prefix: str, cursor: str, patient: bool, filters: Any) -> Any:
        patience.append(patient)
        raise error

    monkeypatch.setattr(Client, "_page", fail)
    service = larder.init("2022-01-30", client=client).strategy_service()
    for call in (service.get_strategy_by_name, service.remove_strategy_by_name):
        with pytest.raises(KeyError, match=r"there is no strategy .*could not be listed"):
            call(prefix)
    assert patience == [False, False]


def test_while_the_interpreter_ends(node: Node, prefix: str) -> None:
    code = f"""
import atexit, larder
objects = larder.ObjectService(larder.Client({node.url!r}, allow_pickle=False))
@atexit.register
def save():
    objects.put_many({{{prefix!r} + str(i): i for i in range(3)}})
    print(objects.get_many(objects.keys({prefix!r})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == f"{ {prefix + str(i): i for i in range(3)} }\n", done.stderr


def test_what_is_put_with_a_time_to_live_expires(
    objects: larder.ObjectService, client: larder.Client, env: larder.Environment, prefix: str
) -> None:
    objects.put(f"{prefix}kept", 1, expires_in=datetime.timedelta(days=1))
    objects.put(f"{prefix}gone", 1, expires_in=0.5)
    strategies = larder.StrategyService(client, env)
    strategies.cache_strategy(Strategy(prefix), expires_in=0.5)
    deadline = time.monotonic() + 20
    while f"{prefix}gone" in objects or any(strategies.get_keys_by_prefix(prefix)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert objects[f"{prefix}kept"] == 1
    assert objects.keys(prefix) == [f"{prefix}kept"]
    objects.put(f"{prefix}gone", 2, if_absent=True)
    for wrong in (0, -1, "1", True, float("nan"), 1 << 40):
        with pytest.raises(larder.BadRequest):
            objects.put(f"{prefix}kept", 2, expires_in=wrong)  # type: ignore[arg-type]
