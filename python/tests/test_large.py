"""Objects of 500 MiB."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import larder
from tests.conftest import StartNode

SIZE = 500 << 20


def test_large(start_node: StartNode, capsys: pytest.CaptureFixture[str]) -> None:
    node = start_node("--memory", "4GiB", "--chunk-size", "640MiB")
    client = larder.Client(node.url, progress=True)
    objects = larder.ObjectService(client)
    numbers = np.random.default_rng(1).random(SIZE // 8)
    objects.put("array", numbers)
    assert np.array_equal(objects.get("array"), numbers)
    assert "get array: 100%" in capsys.readouterr().err
    frame = pd.DataFrame(numbers.reshape(-1, 8), columns=list("abcdefgh"))
    objects.put("frame", frame)
    got = objects.get("frame")
    assert got.equals(frame)
    assert got.columns.tolist() == list("abcdefgh")
    assert objects.info("frame").size > SIZE
    node.stop()
