"""What was saved and what there is, and what a client does at a limit."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import larder
from tests.conftest import StartNode
from tests.scripted import answer, problem, served


def test_usage_of_a_node(start_node: StartNode, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("- {org: default, max_bytes: 1MB, max_object_size: 500kB, cost_per_hour: 36}")
    with larder.Client(start_node("--policy-file", str(policy)).url) as client:
        objects = larder.ObjectService(client)
        objects.put("DAX 20220104", list(range(100)), build_seconds=100)
        for _ in range(3):
            objects.get("DAX 20220104")
        found = client.usage()
        assert (found.org, found.objects, found.writers["anonymous"].objects) == ("default", 1, 1)
        assert found.services["objects"].bytes == found.bytes > 100
        assert found.limits["max_bytes"] == 1_000_000
        assert found.limits["max_objects"] is None
        assert (found.today.seconds, found.today.hits, found.today.cost) == (300, 3, 3)
        assert found.today == found.month == found.all == found.names["DAX"] == found.users["anonymous"]
        for shown in (repr(found), found._repr_html_()):
            assert "5.0 minutes" in shown
            assert "976.6 KiB" in shown
        assert "3 reads, worth 3.00" in found._repr_html_()

        with pytest.raises(larder.TooLarge, match="max_object_size") as refused:
            objects.put_raw("large", b"x" * 600_000)
        assert (refused.value.status, refused.value.type) == (507, "quota")
        objects.put_raw("some", b"x" * 400_000)
        objects.put_raw("more", b"x" * 400_000)
        with pytest.raises(larder.TooLarge, match=r"max_bytes.*remove what is not needed"):
            objects.put_raw("most", b"x" * 400_000)
        assert objects.get_raw("more") == b"x" * 400_000


def test_usage_of_the_environment(env: larder.Environment) -> None:
    assert larder.usage().org == larder.usage(env.client).org == "default"


def test_a_node_without_usage() -> None:
    with served() as (url, handler), larder.Client(url) as client:
        handler.script += [problem(404, "no-route")]
        with pytest.raises(larder.BadRequest, match="older than this client"):
            client.usage()


@pytest.mark.parametrize("patient", [True, False])
def test_waits_for_a_rate(monkeypatch: pytest.MonkeyPatch, patient: bool) -> None:
    """As long as it is told, however often, and no longer than its timeout."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    with served() as (url, handler), larder.Client(url) as client:
        handler.script += [problem(429, "rate", Retry_After="2")] * 9 + [answer(201, ETag='"x"')]
        client.store_raw("objects", "k", b"", patient=patient)
        assert len(slept) == 9
        assert all(2 <= s < 2.2 for s in slept)
    with served() as (url, handler), larder.Client(url, timeout=5, retries=0) as client:
        handler.script += [problem(429, "rate", Retry_After="60")]
        with pytest.raises(larder.Unavailable, match="so it is"):
            client.store_raw("objects", "k", b"", patient=patient)
