"""What a miss says of what there is instead, when somebody reads it."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

import larder
from larder import nearest
from larder.client import Client
from tests.scripted import answer, problem, served


@pytest.fixture
def name(unique: str) -> str:
    """A name that no other test's is like."""
    return f"{unique[:8]} universe {unique}"


def test_who_only_catches_a_miss_asks_nothing(objects: larder.ObjectService, name: str, caplog: pytest.LogCaptureFixture) -> None:
    objects.put(f"{name}_2022-01-31", 1)
    caplog.set_level(logging.DEBUG, "larder")
    with pytest.raises(KeyError) as caught:
        objects.get(f"{name}_2022-01-30")
    assert objects.get(f"{name}_2022-01-30", 5) == 5
    assert len(caplog.records) == 2
    text = str(caught.value)
    assert 2 < len(caplog.records) <= 5
    assert f"near it is '{name}_2022-01-31' (of 2022-01-31; of 2" in text
    count = len(caplog.records)
    assert str(caught.value) == text
    assert len(caplog.records) == count
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.status, again.type) == (text, 404, "not-found")


def read(call: Callable[[], object]) -> str:
    with pytest.raises(larder.NotFound) as caught:
        call()
    return str(caught.value)


def test_what_differs(client: larder.Client, name: str) -> None:
    @larder.object_service_cache(name, settings=True)
    def universe(index: str = "DAX") -> Any:
        return [index]

    @larder.object_service_cache(lambda index: f"{name}(index={index!r})", settings=True)
    def changed(index: str = "DAX") -> Any:
        return {index}

    larder.init("2022-01-30", client=client, costs=0.1)
    universe()
    larder.init("2022-01-30", client=client, costs=0.5)
    text = read(lambda: universe.cached_only())
    assert f"near it is \"{name}(index='DAX')_2022-01-30_" in text
    assert "(costs: 0.1 there, 0.5 here; of 2" in text
    assert " by anonymous)" in text
    assert "other arguments; costs: 0.1" in read(lambda: universe.cached_only("SPX"))
    assert "costs: 0.1 there, 0.5 here; made by other code" in read(lambda: changed.info())
    larder.init("2022-01-28", client=client, costs=0.1)
    assert "(of 2022-01-30; of 2" in read(lambda: universe.cached_only())


def test_names_that_are_alike(objects: larder.ObjectService, name: str) -> None:
    objects.put(name, 1)
    for near in (name.upper(), name.replace(" ", "  "), f"{name}s", name[:-1]):
        for call in (objects.get, objects.info, objects.delete, objects.get_raw, lambda key: objects.copy(key, "x")):
            text = read(lambda call=call, near=near: call(near))  # type: ignore[misc]
            assert f"near it is '{name}'" in text
            assert ("other capitals or spaces" in text) == (near.upper().split() == name.upper().split())
    assert "near" not in read(lambda: objects.get("nothing of the kind"))


def test_the_nearest_dates_are_shown(objects: larder.ObjectService, name: str) -> None:
    objects.put_many({f"{name}_2022-{month:02}-15": 1 for month in range(1, 13)} | {f"{name}_2022-06-14": 1})
    text = read(lambda: objects.get(f"{name}_2022-06-16"))
    assert [part.partition("'")[0] for part in text.split(f"'{name}_2022-")[1:]] == ["06-16", "06-15", "06-14", "07-15"]


def test_other_libraries() -> None:
    there = larder.Info(
        "k",
        1,
        "",
        datetime(2022, 1, 30, tzinfo=UTC),
        "ada",
        "",
        "",
        "",
        "",
        {"numpy": "1.26.0", "pytest": pytest.__version__, "nosuch": "2"},
        None,
        {},
        1,
    )
    reasons = nearest._reasons(nearest._Parts("k"), nearest._Parts("k"), there, nearest.Here())
    assert reasons[0].startswith("numpy 1.26.0 there, 2.")
    assert reasons[1:] == ["nosuch 2 there, none here", "of 2022-01-30 00:00 UTC by ada"]


@pytest.mark.parametrize("error", [larder.ServerError("no listing"), ValueError("strange"), TimeoutError()])
def test_what_cannot_be_explained(error: Exception, objects: larder.ObjectService, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> Any:
        raise error

    monkeypatch.setattr(Client, "_page", fail)
    assert read(lambda: objects.get(name)).endswith("show what there is")


def test_no_explanation_of_what_is_there_and_does_not_count() -> None:
    gone = b'{"type":"urn:larder:problem:not-found","detail":"the object of this key expired at noon"}'
    with served() as (url, handler), larder.Client(url, retries=0) as client:
        handler.script += [problem(412, "too-old"), answer(404, gone)]
        objects = larder.ObjectService(client)
        assert "near" not in read(lambda: objects.get("k", max_age=1))
        assert "near" not in read(lambda: objects.get("k"))
        assert len(handler.seen) == 2
