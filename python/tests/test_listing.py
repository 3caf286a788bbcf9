"""What a notebook shows of what is there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from larder.describe import info_of
from larder.listing import Entry, Info, Keys

NOON = datetime(2022, 1, 30, 12, tzinfo=UTC)


def entries(n: int) -> list[Entry]:
    return [Entry(f"key {i} <b>", 1024, "e", NOON) for i in range(n)]


def test_a_table_of_many_keys_is_bounded() -> None:
    keys = Keys(entries(50_000))
    html = keys._repr_html_()
    assert html.count("<tr>") == 51
    assert "50000 keys, 48.8 MiB, the first 50 of them" in html
    assert "2022-01-30 12:00:00 UTC" in html
    assert "<b>" not in html
    assert "the first" not in Keys(entries(50))._repr_html_()


def test_a_slice_is_a_table_too() -> None:
    keys = Keys(entries(5))
    assert type(keys[:2]) is Keys
    assert keys[1:2].entries == keys.entries[1:2]
    assert keys[-1] == "key 4 <b>"


def test_info() -> None:
    info = Info("DAX <b>", 2048, "e", NOON, "ada", "text/plain", "larder; hit", "npy", "3.11", {"numpy": "2.4"}, 12.34, {}, 60.0)
    html = info._repr_html_()
    for text in ("DAX &lt;b&gt;", "2.0 KiB", "12:00:00 UTC", "ada", "numpy 2.4", "12.3 s"):
        assert text in html
    assert "<tr>" in Info("k", 0, "", NOON, "", "", "", "", "", {}, None, {}, 60.0)._repr_html_()


@pytest.mark.parametrize(
    ("headers", "modified", "age"),
    [
        ({"date": "Sun, 30 Jan 2022 12:00:10 GMT", "last-modified": "Sun, 30 Jan 2022 12:00:00 GMT"}, NOON, 11),
        ({"date": "Sun, 30 Jan 2022 12:00:00 GMT", "last-modified": "Sun, 30 Jan 2022 12:00:01 GMT"}, NOON + timedelta(seconds=1), 1),
        ({"date": "Sun, 30 Jan 2022 12:00:00 GMT"}, NOON, 1),
    ],
)
def test_when_it_was_written(headers: dict[str, str], modified: datetime, age: float) -> None:
    """A node says when an object was written from two seconds after the write on."""
    info = info_of("k", headers)
    assert info.modified == modified
    assert info.age == age
