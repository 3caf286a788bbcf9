"""Pickles: what plain pickle cannot do, and versions that do not go together."""

from __future__ import annotations

import importlib
import os
import platform
import subprocess
import sys
import textwrap
import threading
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import larder
from larder import libraries, pickling
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


class Lock:
    def __init__(self) -> None:
        self.guard = {"lock": threading.Lock()}


class Slotted:
    __slots__ = ("lock",)


class Unwilling:
    def __getstate__(self) -> Any:
        raise ValueError("no state")


def opened(file: Path, mode: str = "r") -> Any:
    return file.open(mode)


def slotted() -> Slotted:
    made = Slotted()
    made.lock = threading.Lock()  # type: ignore[attr-defined]
    return made


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda f: {"a": 1, "lock": threading.Lock()}, r"because of \['lock'\]: TypeError: cannot pickle '_thread.lock'"),
        (lambda f: [1, (2, {"x": Lock()})], r"because of \[1\]\[1\]\['x'\]\.guard\['lock'\]: "),
        (lambda f: [slotted()], r"because of \[0\]\.lock: "),
        (lambda f: [threading.Lock(), lambda: 1], r"because of \[0\]: "),
        (lambda f: [np.array([1, threading.Lock()], dtype=object)], r"because of \[0\]\[1\]: "),
        (lambda f: pd.DataFrame({"a": [1], "b": [threading.Lock()]}), r"because of \['b'\]"),
        (lambda f: {"f": opened(f)}, r"because of \['f'\]: TypeError: cannot pickle"),
        (lambda f: [lambda: 1, opened(f)], r"because of \[1\]: TypeError: cannot pickle"),
        (lambda f: opened(f, "rb"), "BufferedReader"),
        (lambda f: memoryview(b"abc"), "memoryview"),
        (lambda f: [memoryview(b"abc"), lambda: 1], "memoryview"),
        (lambda f: (i for i in [1]), "generator"),
        (lambda f: sys, "module"),
        (lambda f: Unwilling(), "ValueError: no state"),
    ],
)
@pytest.mark.filterwarnings("ignore:unclosed file")
def test_refused_with_the_path(objects: larder.ObjectService, tmp_path: Path, make: Any, words: str) -> None:
    """cloudpickle makes text of an open file, and bytes of a view; that is not what was put."""
    file = tmp_path / "secrets"
    file.write_text("password=hunter2")
    with pytest.raises(larder.EncodeError, match=words):
        objects.put("refused", make(file))


def test_reloaded_module(objects: larder.ObjectService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loader_of_test.py").write_text("class Loader:\n    class Inner: pass\ndef f(): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("loader_of_test")
    old = [module.Loader(), module.Loader.Inner(), module.f, module.Loader, {"deep": [module.Loader()]}, [module.Loader(), lambda: 1]]
    importlib.reload(module)
    for value in old:
        with pytest.raises(larder.EncodeError, match=r"its module was reloaded.*Make the object again"):
            objects.put("reloaded", value)
    objects.put("reloaded", module.Loader())
    assert isinstance(objects.get("reloaded"), module.Loader)


class Refusal(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")


class NoReturn:
    def __reduce__(self) -> Any:
        return NoReturn, (1, 2)


@pytest.mark.parametrize("value", [Refusal(1, "a"), {"e": [Refusal(1, "a")]}, NoReturn()])
def test_what_cannot_be_unpickled_is_not_stored(objects: larder.ObjectService, value: Any) -> None:
    with pytest.raises(larder.EncodeError, match=r"can be pickled, but nobody could unpickle it: TypeError"):
        objects.put("one way", value)
    with pytest.raises(larder.NotFound):
        objects.get("one way")


class Panic(BaseException):
    """As pyo3's PanicException."""


class Panics:
    def __reduce__(self) -> Any:
        raise Panic("in Rust")


class Interrupts:
    def __reduce__(self) -> Any:
        raise KeyboardInterrupt


def _panic() -> None:
    if os.environ.get("PANIC"):
        raise Panic("in Rust")


class PanicsLater:
    def __reduce__(self) -> Any:
        return _panic, ()


def test_panics(objects: larder.ObjectService, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(larder.EncodeError, match="Panic: in Rust"):
        objects.put("panic", Panics())
    with pytest.raises(KeyboardInterrupt):
        objects.put("panic", Interrupts())
    objects.put("panic", PanicsLater())
    monkeypatch.setenv("PANIC", "1")
    with pytest.raises(larder.DecodeError, match="Panic: in Rust"):
        objects.get("panic")


@pytest.mark.parametrize(
    ("wrote", "here", "warns"),
    [("2.1.0", "0.20.31", True), ("1.5", "1.4.9", True), ("1.5", "2.0", True), ("1.5", "1.5.1", False), ("1.5", "1.5", False)],
)
def test_versions_that_are_a_risk(objects: larder.ObjectService, module: Any, wrote: str, here: str, warns: bool) -> None:
    libraries._warned.clear()
    module.__version__ = wrote
    objects.put("thing", [module.Thing(), lambda: module.Thing])  # as cloudpickle writes it, too
    assert objects.info("thing").libraries["a_library"] == wrote
    module.__version__ = here
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        objects.get("thing")
        objects.get("thing")
    said = [str(w.message) for w in caught if issubclass(w.category, larder.LarderWarning) and "signing" not in str(w.message)]
    assert len(said) == int(warns)
    assert all(f"a_library {wrote}" in text and here in text for text in said)


def test_a_missing_module_comes_first(objects: larder.ObjectService, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    objects.put("thing", module.Thing())
    monkeypatch.delitem(sys.modules, "a_library")
    with pytest.raises(larder.VersionMismatch, match=r"^'thing' needs the module a_library, which is not installed here: pip install"):
        objects.get("thing")


@pytest.mark.parametrize("name", ["bfloat16", "float8_e5m2", "float8_e4m3fn", "int4", "float4_e2m1fn"])
def test_dtypes_of_other_libraries(objects: larder.ObjectService, name: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    dtype = getattr(ml_dtypes, name)
    for array in (np.ones(3, dtype), np.ones((2, 2), dtype).T, np.array([(1, 2)], [("a", dtype), ("b", "f8")]), np.array(1, dtype)):
        objects.put("array", array)
        got = objects.get("array")
        assert got.dtype == array.dtype
        assert got.tolist() == array.tolist()
    objects.put("table", pd.Series([1, 2]).to_frame("x"))


def test_warnings_of_libraries_are_not_shown(objects: larder.ObjectService) -> None:
    script = """
        import sys, warnings, larder
        class Old:
            def __reduce__(self): return make, ()
        def make(): warnings.warn("old", DeprecationWarning, stacklevel=2); warnings.warn("of numpy", UserWarning, stacklevel=2); return 1
        objects = larder.ObjectService(larder.Client(sys.argv[1]))
        objects.put("old", Old())
        objects.get("old")
    """
    url = str(objects._client._config.nodes[0])
    command = [sys.executable, "-Wdefault", "-c", textwrap.dedent(script), url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert "of numpy" not in said
    assert "Warning: old" not in said
