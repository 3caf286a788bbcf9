"""The arguments of a call: bound as a call binds them, and as text in a key."""

from __future__ import annotations

import functools
import inspect
import itertools
import os
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import numpy as np
import pytest

import larder
from larder.arguments import Arguments
from larder.fingerprint import fingerprint
from tests.test_digests import Renamed, adder


def text(function: Callable[..., Any], *args: Any, ignore: tuple[str, ...] = (), **kwargs: Any) -> str:
    arguments = Arguments(function, "f", ignore)
    return arguments.text(arguments.bind(args, kwargs))


def test_signature() -> None:
    def f(x: int, n: int = 5, /, *rest: int, verbose: bool = False, **more: Any) -> None: ...

    assert text(f, 1) == text(f, 1, 5) == "x=1, n=5, verbose=False"
    assert text(f, 1, 5, 6, b=1, a=2) == "x=1, n=5, *rest=(6,), verbose=False, **a=2, **b=1"
    assert text(f, 1, ignore=("verbose", "n")) == "x=1"
    assert text(f, 1, a=2, ignore=("verbose", "n", "a")) == "x=1"

    def plain(ticker: str, window: int = 20) -> None: ...

    assert text(plain, "SAP") == text(plain, window=20, ticker="SAP") == "ticker='SAP', window=20"
    with pytest.raises(TypeError, match="'windw', which is no argument of f"):
        Arguments(plain, "f", ("windw",))


def test_bounded() -> None:
    def f(**more: Any) -> None: ...

    long, other = ({f"argument_{i}": i + j for i in range(100)} for j in range(2))
    assert len(text(f, **long)) == 33  # type: ignore[arg-type]
    assert text(f, **long) != text(f, **other)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "expected"),
    [
        (lambda ticker, window: f"{ticker} {window}", ("SAP",), {}, "SAP 20"),
        (lambda window, ticker: f"{ticker} {window}", ("SAP",), {}, "SAP 20"),
        (lambda ticker, window=5: f"{ticker} {window}", ("SAP",), {}, "SAP 20"),
        (lambda t, w: f"{t} {w}", (), {"ticker": "SAP"}, "SAP 20"),
        (lambda t: t, ("SAP",), {}, "SAP"),
        (lambda ticker: ticker, ("SAP", 20), {}, "SAP"),
        (lambda *a, **k: f"{a} {k}", (), {"window": 20, "ticker": "SAP"}, "('SAP', 20) {}"),
        ("{}".format, ("SAP",), {}, "SAP"),
    ],
)
def test_name_function(name: Callable[..., str], args: tuple[Any, ...], kwargs: dict[str, Any], expected: str) -> None:
    def f(ticker: str, window: int = 20) -> None: ...

    arguments = Arguments(f, "f", ())
    assert arguments.name_by(name, arguments.bind(args, kwargs)) == expected


def test_name_function_that_leaves_out_what_matters() -> None:
    def f(ticker: str, window: int = 20) -> None: ...

    arguments = Arguments(f, "f", ())
    names: list[Callable[[Any], Any]] = [lambda ticker: ticker, lambda t: t]
    for name in names:
        with pytest.raises(larder.ArgumentError, match="does not take 'window'"):
            arguments.name_by(name, arguments.bind(("SAP", 30), {}))


def signatures() -> list[Callable[..., Any]]:
    def plain(a: Any, b: Any = 2, c: Any = None) -> None: ...
    def keywords(a: Any, *, b: Any, c: Any = 3) -> None: ...
    def positional(a: Any, /, b: Any = 2) -> None: ...
    def several(a: Any, *b: Any, c: Any = 3) -> None: ...
    def others(a: Any = 1, **b: Any) -> None: ...

    return [plain, keywords, positional, several, others, lambda: None]


@pytest.mark.parametrize("function", signatures(), ids=lambda f: f.__name__)
def test_arguments_are_bound_as_a_call_binds_them(function: Callable[..., Any]) -> None:
    arguments, signature = Arguments(function, "f", ()), inspect.signature(function)
    fitting = 0
    for args in ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), (inspect.Parameter.empty,)):
        for names in itertools.chain.from_iterable(itertools.combinations("abcd", n) for n in range(5)):
            kwargs = {name: name for name in reversed(names)}
            try:
                expected = signature.bind(*args, **kwargs)
            except TypeError as error:
                with pytest.raises(TypeError, match=re.escape(str(error))):
                    arguments.bind(args, kwargs)
                continue
            expected.apply_defaults()
            bound = arguments.bind(args, kwargs)
            assert list(bound.arguments.items()) == list(expected.arguments.items())
            assert (bound.args, bound.kwargs) == (expected.args, expected.kwargs)
            fitting += 1
    assert fitting


def itself() -> list[Any]:
    holder: list[Any] = []
    holder.append(holder)
    return holder


def local(n: int) -> type:
    class Local:
        value = n

    return Local


REFUSED = [object(), threading.Lock(), iter([]), itself(), [threading.Lock()], adder(threading.Lock())]  # type: ignore[arg-type]
REFUSED += [local(1), Renamed(1, "a", lock=threading.Lock())]


@pytest.mark.parametrize("value", REFUSED)
def test_refused(value: Any) -> None:
    with pytest.raises(larder.ArgumentError, match="f's argument 'x'"):
        fingerprint(value, "f's argument 'x'")


def test_functions_of_libraries_have_names() -> None:
    digests = {fingerprint(f, "f") for f in (np.sum, np.mean, np.add, len, max, functools.reduce, os.path.join)}
    assert len(digests) == 7
    assert fingerprint(np.sum, "f") == fingerprint(np.sum, "f")


@pytest.mark.parametrize("text", ["sum {!r}", "sum {!s}"])
def test_a_name_of_an_array_whose_text_leaves_items_out(env: larder.Environment, text: str) -> None:
    @larder.object_service_cache(lambda a: text.format(a))
    def total(a: np.ndarray[Any, Any]) -> float:
        return float(a.sum())

    assert total.key(np.arange(3)).startswith("sum ")
    with pytest.raises(larder.ArgumentError, match="uses the text of 'a', in which"):
        total.key(np.zeros(5000))


def test_a_name_with_dots_of_its_own(env: larder.Environment) -> None:
    @larder.object_service_cache(lambda a: f"total ... {a.size}")
    def total(a: np.ndarray[Any, Any]) -> float:
        return float(a.sum())

    assert total.key(np.zeros(5000)) == "total ... 5000_2022-01-30"


class Nameless(tzinfo):
    """A zone without a name."""

    def utcoffset(self, _: datetime | None) -> timedelta:
        return timedelta(hours=1)


def test_a_zone_without_a_name() -> None:
    there, other = (datetime(2022, 1, 1, tzinfo=Nameless()) for _ in range(2))  # type: ignore[abstract]
    assert fingerprint(there, "t") == fingerprint(other, "t") != fingerprint(there.astimezone(UTC), "t")
