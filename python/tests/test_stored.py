"""What a decorated function does with what is stored under other settings, by other code, or long ago."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import timedelta

import pytest

import larder
from larder.describe import info_of
from tests.conftest import collected


def test_other_settings(client: larder.Client, unique: str) -> None:
    @larder.object_service_cache(unique)
    def net() -> float:
        return 100 * (1 - float(larder.env()["costs"]))

    @larder.object_service_cache(f"{unique} apart", settings=True)
    def apart() -> float:
        return 100 * (1 - float(larder.env()["costs"]))

    larder.init("2022-01-30", client=client, costs=0.1)
    assert (net(), apart()) == (90, 90)
    env = larder.init("2022-01-30", client=client, costs=0.5)
    with pytest.warns(larder.LarderWarning, match=r"costs: 0.1 there, 0.5 here\); settings=True"):
        assert net() == 90
    assert net() == 90  # with a word once
    assert apart() == 50
    assert apart.key() == f"{unique} apart_2022-01-30_{env.env_hash}"


def test_other_code(env: larder.Environment, unique: str) -> None:
    def one() -> str:
        return "one"

    def two() -> str:
        return "two"

    assert larder.object_service_cache(unique)(one)() == "one"
    with collected() as texts:
        again = larder.object_service_cache(lambda: unique)(two)
        assert [again(), again()] == ["one", "one"]
    assert len(texts) == 1
    assert "the code of " in texts[0]
    assert " differs from what anonymous stored on 2" in texts[0]
    assert larder.object_service_cache(lambda: unique, code="ignore")(two)() == "one"
    assert larder.object_service_cache(lambda: unique, code="recompute")(two)() == "two"
    assert again() == "two"


def test_max_age(env: larder.Environment, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def build() -> int:
        calls.append(1)
        return len(calls)

    young = larder.object_service_cache(lambda: unique, max_age=timedelta(hours=1))(build)
    assert [young(), young()] == [1, 1]
    monkeypatch.setattr("larder.client.info_of", aged)
    assert young() == 2
    with pytest.raises(larder.NotFound, match="more than max_age=3600"):
        young.cached_only()
    objects = env.object_service()
    assert objects.get(young.key()) == 2
    assert objects.get(young.key(), max_age=timedelta(hours=3)) == 2
    assert objects.get(young.key(), None, max_age=3600) is None
    with pytest.raises(KeyError, match="max_age"):
        objects.get(young.key(), max_age=60)


def aged(key: str, headers: Mapping[str, str]) -> larder.Info:
    info = info_of(key, headers)
    return dataclasses.replace(info, age=info.age + 2 * 3600)
