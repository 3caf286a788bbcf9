"""Environments, strategies and objects, against a real node."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

import larder
from tests.conftest import Node


@dataclasses.dataclass
class Strategy:
    name: str
    built: bool = True

    def is_built(self) -> bool:
        return self.built


@pytest.fixture
def env(node: Node, client: larder.Client, request: pytest.FixtureRequest) -> larder.Environment:
    """An environment of this test alone: its hash is its own."""
    return larder.init(env_date="2022-01-30", client=client, test=request.node.nodeid)


@pytest.mark.parametrize(
    ("given", "env_date", "asofdate"),
    [
        ("2022-01-30", "2022-01-30T00:00:00+00:00", date(2022, 1, 30)),
        ("2022-01-30T17:00:00Z", "2022-01-30T17:00:00+00:00", datetime(2022, 1, 30, 17, tzinfo=UTC)),
        ("2022-01-30 17:00", "2022-01-30T17:00:00+00:00", datetime(2022, 1, 30, 17, tzinfo=UTC)),
        ("2022-01-30T01:00:00+02:00", "2022-01-29T23:00:00+00:00", datetime(2022, 1, 29, 23, tzinfo=UTC)),
        (date(2022, 1, 30), "2022-01-30T00:00:00+00:00", date(2022, 1, 30)),
        (datetime(2022, 1, 30), "2022-01-30T00:00:00+00:00", date(2022, 1, 30)),
        (datetime(2022, 1, 30, 2, tzinfo=timezone(timedelta(hours=2))), "2022-01-30T00:00:00+00:00", date(2022, 1, 30)),
    ],
)
def test_env_date(given: Any, env_date: str, asofdate: date) -> None:
    env = larder.init(given)
    assert env.env_date == env_date
    assert env.asofdate == asofdate
    assert type(env.asofdate) is type(asofdate)


@pytest.mark.parametrize("given", ["", "yesterday", "2022-02-30", "20220130", "2022-W04-7", "30.01.2022", 20220130, None])
def test_bad_env_date(given: Any) -> None:
    with pytest.raises(larder.ConfigError, match="env_date"):
        larder.init(given)


def test_session() -> None:
    assert not larder.is_initialised()
    with pytest.raises(larder.NotInitialised, match=r"larder\.init"):
        larder.env()
    env = larder.init("2022-01-30", lookback=20)
    assert larder.env() is env
    larder.de_init()
    assert not larder.is_initialised()


def test_sessions_share_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    first = larder.init("2022-01-30").client
    assert larder.init("2022-01-31").client is first
    monkeypatch.setenv("LARDER_TOKEN", "another")
    assert larder.init("2022-01-31").client is not first


def test_environment_is_a_mapping_of_settings() -> None:
    env = larder.init("2022-01-30")
    empty = env.env_hash
    env["default_rs_start_date"] = date(2009, 1, 2)
    assert env.env_hash != empty
    assert dict(env) == {"default_rs_start_date": date(2009, 1, 2)}
    assert env.env_hash == larder.init("2023-01-01", default_rs_start_date=date(2009, 1, 2)).env_hash
    del env["default_rs_start_date"]
    assert env.env_hash == empty
    with pytest.raises(larder.SettingError, match="'what'"):
        env["what"] = object()
    assert "what" not in env


def test_strategies(env: larder.Environment) -> None:
    service = env.strategy_service()
    many = [Strategy(f"{ticker} REINV | x || STRATEGY") for ticker in ("AAPL", "MSFT", "NFLX")]
    keys = service.cache_strategy(many)
    assert keys == [f"{s.name}|2022-01-30T00:00:00+00:00||{env.env_hash}" for s in many]
    assert service.cache_strategy(many[0]) == keys[:1]
    assert service.get_strategy_by_name(many[1].name) == many[1]
    assert service.get_strategy_by_key(keys[2]) == many[2]
    assert [k for k in service.get_keys_by_prefix("AAPL") if env.env_hash in k] == keys[:1]
    service.remove_strategy_by_name(many[0].name)
    service.remove_strategy_by_key(keys[1])
    assert [k for k in service.get_keys_by_prefix() if env.env_hash in k] == keys[2:]
    with pytest.raises(larder.NotFound):
        service.remove_strategy_by_name(many[0].name)
    with pytest.raises(larder.NotFound):
        service.remove_strategy_by_key(keys[1])


@pytest.mark.parametrize(
    ("strategies", "message"),
    [
        (Strategy("A", built=False), "'A' says that it is not built"),
        ([Strategy("B"), Strategy("A", built=False)], "not built"),
        ([Strategy("B"), object()], "no name"),
        ("text", "no name"),
        (3, "no name"),
    ],
)
def test_not_built(env: larder.Environment, strategies: Any, message: str) -> None:
    with pytest.raises(larder.NotBuilt, match=message):
        env.strategy_service().cache_strategy(strategies)
    with pytest.raises(larder.NotFound):  # and nothing of it was written
        env.strategy_service().get_strategy_by_name("B")


def test_two_strategies_of_one_name(env: larder.Environment) -> None:
    with pytest.raises(larder.BadRequest, match="names of their own"):
        env.strategy_service().cache_strategy([Strategy("A"), Strategy("A", built=True)])


def test_near_misses(env: larder.Environment, client: larder.Client) -> None:
    name = "NEAR"
    settings = dict(env)
    larder.init("2022-01-31", client=client, **settings).strategy_service().cache_strategy(Strategy(name))
    larder.init("2022-01-30", client=client, other=True).strategy_service().cache_strategy(Strategy(name))
    with pytest.raises(larder.NotFound) as caught:
        env.strategy_service().get_strategy_by_name(name)
    text = str(caught.value)
    assert "2022-01-31T00:00:00+00:00 (is env_date right?)" in text
    assert "(are the settings the same?)" in text
    with pytest.raises(larder.NotFound, match="both env_date and the settings differ"):
        larder.init("2024-01-01", client=client).strategy_service().get_strategy_by_name(name)
    with pytest.raises(KeyError, match="get_keys_by_prefix"):
        env.strategy_service().get_strategy_by_name("NEARLY")


def test_objects(objects: larder.ObjectService) -> None:
    key = "o/DAX 20220104 % ? # é ../x"
    with pytest.raises(larder.NotFound, match="DAX"):
        objects.get(key)
    objects.put(key, [1])
    objects.put(key, [1, 2])
    assert objects.get(key) == [1, 2]
    keys = objects.keys("o/DAX")
    assert keys == [key]
    assert keys.entries[0].etag == objects.info(key).etag
    assert key.replace("&", "&amp;") in keys._repr_html_()
    objects.delete(key)
    for call in (objects.get, objects.delete, objects.info):
        forgotten: Callable[[str], object] = call
        with pytest.raises(KeyError, match="has no object of this key") as caught:
            forgotten(key)
        assert key in str(caught.value)


def test_lists_more_than_a_page(objects: larder.ObjectService, client: larder.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"page/{i:03}" for i in range(25)]
    for name in names:
        objects.put_raw(name, b"")
    assert client.list("objects", "page/", limit="10") == names


@pytest.mark.parametrize("key", ["", "line\nbreak", "x" * 513, "half \ud800", 5, None, b"DAX", date(2022, 1, 30)])
@pytest.mark.parametrize("signing_key", [[], ["0123456789abcdef"]])
def test_bad_key(node: Node, key: Any, signing_key: list[str]) -> None:
    objects = larder.ObjectService(larder.Client(node.url, signing_key=signing_key))
    with pytest.raises(larder.BadRequest, match="key"):
        objects.put(key, 1)
    with pytest.raises(larder.BadRequest, match="key"):
        objects.get(key)


def test_raw(objects: larder.ObjectService) -> None:
    objects.put_raw("raw", b"from curl", "text/plain")
    assert objects.get_raw("raw") == b"from curl"
    assert objects.info("raw").content_type == "text/plain"
    with pytest.raises(larder.NotAFrame, match="get_raw"):
        objects.get("raw")


@pytest.mark.parametrize("prefix", [5, None, b"x", "\ud800"])
def test_bad_prefix(env: larder.Environment, prefix: Any) -> None:
    for keys in (env.object_service().keys, env.strategy_service().get_keys_by_prefix):
        with pytest.raises(larder.BadRequest, match="prefix"):
            keys(prefix)
