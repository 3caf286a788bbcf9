"""Pickles: what plain pickle cannot do, and versions that do not go together."""

from __future__ import annotations

import platform
import subprocess
import sys
import textwrap
import types
from typing import Any

import numpy as np
import pandas as pd
import pytest

import larder
from larder import pickling
from tests.conftest import Node

WRITER = """
    import sys, warnings, larder
    warnings.simplefilter("ignore")
    class OfNotebook:
        def __init__(self): self.f = lambda x: x + 1
    class Plain:
        n = 2
    objects = larder.ObjectService(larder.Client(sys.argv[1]))
    objects.put("of notebook", OfNotebook())
    objects.put("plain of notebook", [Plain(), Plain])
"""


def run(script: str, *args: str) -> None:
    subprocess.run([sys.executable, "-c", textwrap.dedent(script), *args], check=True)


def test_classes_and_lambdas_of_a_notebook(node: Node, objects: larder.ObjectService) -> None:
    run(WRITER, node.url)  # whose __main__ is not ours
    assert objects.get("of notebook").f(1) == 2
    instance, kind = objects.get("plain of notebook")
    assert instance.n == 2
    assert isinstance(instance, kind)


def test_without_cloudpickle(objects: larder.ObjectService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickling, "_cloudpickle", None)
    with pytest.raises(larder.EncodeError, match="pip install cloudpickle"):
        objects.put("lambda", lambda: 1)


def test_buffers_are_not_in_the_pickle() -> None:
    data = pd.DataFrame(np.zeros((10_000, 4)))
    pickled = pickling.dump({"frame": data, "array": data[0].to_numpy()})
    assert len(pickled.body) < 4000
    assert sum(memoryview(b).nbytes for b in pickled.buffers) >= data[0].size * 32
    assert {"numpy", "pandas"} <= pickled.libraries.keys()


def test_cannot_be_pickled(objects: larder.ObjectService) -> None:
    class Awkward:
        def __reduce__(self) -> Any:
            raise RuntimeError("I will not")

    with pytest.raises(larder.EncodeError, match="I will not"):
        objects.put("awkward", Awkward())


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A library of which versions come and go."""
    library = types.ModuleType("a_library")
    library.__version__ = "1.0"  # type: ignore[attr-defined]
    exec("class Thing:\n    pass", library.__dict__)
    monkeypatch.setitem(sys.modules, "a_library", library)
    return library


def test_other_version_of_a_library(objects: larder.ObjectService, module: Any) -> None:
    objects.put("thing", module.Thing())
    del module.Thing
    with pytest.raises(larder.DecodeError, match="cannot be unpickled here") as same:
        objects.get("thing")
    assert type(same.value) is larder.DecodeError
    module.__version__ = "2.0"
    with pytest.raises(larder.VersionMismatch, match=r"written with a_library 1\.0; here is a_library 2\.0") as caught:
        objects.get("thing")
    assert isinstance(caught.value.original, AttributeError)
    assert caught.value.__cause__ is None


def test_library_that_is_not_here(objects: larder.ObjectService, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    objects.put("thing", module.Thing())
    monkeypatch.delitem(sys.modules, "a_library")
    with pytest.raises(larder.VersionMismatch, match=r"a_library 1\.0; here is a_library none"):
        objects.get("thing")


def test_bytecode_of_another_python(objects: larder.ObjectService, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(platform, "python_version", lambda: "3.99.1")
        objects.put("lambda", lambda: 1)
        objects.put("frame", pd.DataFrame({"a": [1]}))
    with pytest.raises(larder.VersionMismatch, match=rf"Python 3\.99\.1; here is Python {platform.python_version()}"):
        objects.get("lambda")
    assert objects.get("frame")["a"].tolist() == [1]  # which has no bytecode
