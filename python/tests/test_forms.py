"""The forms in which a decorator is written, what a decorated function has, and its types."""

from __future__ import annotations

import asyncio
import inspect
import os
import traceback
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from functools import cached_property, partial, wraps
from typing import Any, assert_type

import pytest

import larder
from larder.listing import Info

NAME = "tests.test_forms."


@larder.object_service_cache
def bare(ticker: str, window: int = 20) -> list[str]:
    """What it does."""
    return [ticker] * window


@larder.strategy_service_cache
def strategy() -> dict[str, int]:
    return {"n": 1}


@larder.object_service_cache(ignore="verbose", code="ignore")
async def later(n: int, *, verbose: bool = False) -> int:
    return n


def name(n: int) -> str:
    return f"named {n}"


@larder.object_service_cache(name)
def named(n: int) -> int:
    return n


def test_names(env: larder.Environment) -> None:
    assert bare.key("SAP") == bare.key(window=20, ticker="SAP") == f"{NAME}bare(ticker='SAP', window=20)_2022-01-30"
    assert strategy.key() == f"{NAME}strategy|2022-01-30T00:00:00+00:00||{env.env_hash}"
    assert later.key(1, verbose=True) == f"{NAME}later(n=1)_2022-01-30"
    assert named.key(1) == "named 1_2022-01-30"
    explicit = larder.object_service_cache(function_of_text)  # which might make names, and does not
    assert explicit("a") == "aa"
    assert explicit.key("a") == f"{NAME}function_of_text(text='a')_2022-01-30"


def function_of_text(text: str) -> str:
    return text * 2


def test_operations(env: larder.Environment) -> None:
    bare.forget_all()
    with pytest.raises(larder.NotFound):
        bare.cached_only("SAP", 1)
    with pytest.raises(larder.NotFound):
        bare.info("SAP", 1)
    assert bare.bypass("SAP", 1) == ["SAP"]
    assert bare("SAP", 1) == ["SAP"] == bare.cached_only("SAP", 1) == bare.refresh("SAP", 1)
    assert bare.info("SAP", 1).meta["function"] == f"{NAME}bare"
    larder.init("2022-01-31T17:00", client=env.client)
    bare("SIE (old)", 1)
    env.object_service().put(f"{NAME}bare(no", 1)
    assert bare.entries() == [
        f"{NAME}bare(ticker='SAP', window=1)_2022-01-30",
        f"{NAME}bare(ticker='SIE (old)', window=1)_2022-01-31 17:00:00+00:00",
    ]
    assert bare.forget("SIE (old)", 1)
    assert bare.forget_all() == 1
    assert bare.entries() == []
    strategy()
    assert strategy.entries() == [strategy.key()]
    assert strategy.forget_all() == 1
    with pytest.raises(TypeError, match="made by a function"):
        named.entries()
    assert inspect.getdoc(bare) == "What it does."
    assert str(inspect.signature(bare)) == "(ticker: 'str', window: 'int' = 20) -> 'list[str]'"


def test_without_arguments(env: larder.Environment) -> None:
    text = uuid.uuid4().hex

    @larder.object_service_cache(text)
    def anything(*args: Any, **kwargs: Any) -> int:
        return len(args)

    @larder.object_service_cache(f"{text} other")
    def other() -> int:
        return 0

    assert anything.key() == f"{text}_2022-01-30"
    assert [anything(), anything(1), other()] == [0, 1, 0]
    assert anything.entries() == [f"{text}(*args=(1,))_2022-01-30", f"{text}_2022-01-30"]


def test_coroutines(env: larder.Environment) -> None:
    async def session() -> list[Any]:
        first = [await later(1), await later.cached_only(1), await later.refresh(1), await later.bypass(2)]
        second = [(await later.info(1)).key, await later.entries(), await later.forget(1), await later.forget_all()]
        return first + second

    key = f"{NAME}later(n=1)_2022-01-30"
    assert asyncio.run(session()) == [1, 1, 1, 2, key, [key], True, 0]
    assert inspect.iscoroutinefunction(later)


class Model:
    """A class whose instances have no key."""

    def __init__(self, k: int) -> None:
        self.k = k

    @larder.object_service_cache(lambda self, d: f"fit {self.k} {d}")
    def fit(self, d: str) -> str:
        """Fit it."""
        return f"{self.k} {d}"

    @larder.object_service_cache("static")
    @staticmethod
    def above_static(n: int) -> int:
        return n

    @staticmethod
    @larder.object_service_cache("static below")
    def below_static(n: int) -> int:
        return n

    @larder.object_service_cache("class")
    @classmethod
    def above_class(cls, n: int) -> tuple[str, int]:
        return cls.__name__, n

    @classmethod
    @larder.object_service_cache("class below")
    def below_class(cls, n: int) -> tuple[str, int]:
        return cls.__name__, n

    @property
    @larder.object_service_cache("property", ignore=("self",))
    def below_property(self) -> int:
        return self.k

    @larder.object_service_cache(ignore=("self",))
    async def later(self, n: int) -> int:
        return n

    @larder.object_service_cache
    def unkeyed(self) -> int:
        return self.k


class Special(Model):
    pass


@dataclass
class Deal:
    n: int

    @larder.object_service_cache
    def value(self, times: int = 2) -> int:
        return self.n * times


def test_methods(env: larder.Environment) -> None:
    one, two = Model(1), Model(2)
    assert [one.fit("a"), two.fit("a"), one.fit("a")] == ["1 a", "2 a", "1 a"]
    assert one.fit.refresh("a") == Model.fit.refresh(one, "a") == one.fit.cached_only("a") == one.fit.bypass("a") == "1 a"
    assert one.fit.key("a") == Model.fit.key(one, "a") == "fit 1 a_2022-01-30"
    assert one.fit.info("a").key == one.fit.key("a")
    assert one.fit.__wrapped__("b") == "1 b"
    assert one.fit.forget("a")
    assert one.fit == one.fit != two.fit
    assert hash(one.fit) == hash(one.fit)
    assert inspect.getdoc(one.fit) == "Fit it."
    assert str(inspect.signature(one.fit)) == "(d: 'str') -> 'str'"
    assert one.fit.__name__ == "fit"  # type: ignore[attr-defined]
    assert [Deal(2).value(), Deal(3).value(), Deal(2).value(times=2)] == [4, 6, 4]
    with pytest.warns(larder.LarderWarning, match="tests.test_forms.Model.unkeyed's argument 'self' is"):
        assert one.unkeyed() == 1


def test_methods_of_classes(env: larder.Environment) -> None:
    model: Any = Model  # type checkers take decorators above @classmethod and @staticmethod for those of functions
    special: Any = Special
    assert [model.above_static(1), model(1).above_static(2), model.below_static(3)] == [1, 2, 3]
    assert model.above_static.key(1) == "static(n=1)_2022-01-30"
    assert [model.above_class(1), special.above_class(1), special(1).above_class(1)] == [("Model", 1), ("Special", 1), ("Special", 1)]
    assert special.above_class.refresh(1) == ("Special", 1)
    assert [model.below_class(1), special.below_class(1)] == [("Model", 1), ("Special", 1)]
    assert model(5).below_property == 5
    assert inspect.iscoroutinefunction(model(1).later)
    assert asyncio.run(model(1).later(3)) == 3
    assert asyncio.run(model(1).later.forget(3))


class Asynchronous:
    async def __call__(self, n: int) -> int:
        return n


def test_callables(env: larder.Environment) -> None:
    text = uuid.uuid4().hex
    cached = larder.object_service_cache(text)(Asynchronous())
    assert asyncio.run(cached(1)) == 1
    assert asyncio.run(cached.cached_only(1)) == 1
    part = larder.object_service_cache(f"{text} part")(partial(bare.__wrapped__, "SAP"))
    assert part(2) == ["SAP", "SAP"] == part.cached_only(2)


def test_a_coroutine_behind_a_wrapper(env: larder.Environment) -> None:
    async def fetch(n: int) -> int:
        return n

    @wraps(fetch)
    def retried(n: int) -> Coroutine[Any, Any, int]:
        return fetch(n)

    cached = larder.object_service_cache(uuid.uuid4().hex)(retried)
    with pytest.warns(larder.LarderWarning, match="directly above 'async def'"):
        assert asyncio.run(cached(1)) == 1


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("decorate", "message"),
    [
        (lambda: larder.object_service_cache(5), "the name of a cached function is text"),  # type: ignore[call-overload]
        (lambda: larder.object_service_cache(""), "not empty"),
        (lambda: larder.object_service_cache("x")(5), "stands above a function, not 5"),  # type: ignore[arg-type]
        (lambda: larder.object_service_cache("x")(), "stands above a function, not None"),  # type: ignore[call-arg]
        (lambda: larder.object_service_cache("x")(property(lambda self: 1)), "below @property"),  # type: ignore[arg-type]
        (lambda: larder.object_service_cache("x")(cached_property(lambda self: 1)), "below @property"),  # type: ignore[arg-type]
        (lambda: larder.object_service_cache("x")(Model), "Model is a class"),
        (lambda: larder.object_service_cache("x")(generator), "is a generator, .*return a list"),
        (lambda: larder.object_service_cache("x")(async_generator), "is a generator, .*return a list"),
        (lambda: larder.object_service_cache("x", ignore=("y",))(name), "'y', which is no argument"),
        (lambda: larder.object_service_cache("x", ignore=(5,))(name), "names of arguments"),  # type: ignore[arg-type]
        (lambda: larder.object_service_cache(lambda n: "x", ignore=("n",)), "ignore goes with a name that is text"),  # type: ignore[call-overload]
        (lambda: larder.object_service_cache("x", code="always"), "'warn', 'recompute' or 'ignore'"),
        (lambda: larder.object_service_cache("x", settings="yes"), "True or False"),  # type: ignore[call-overload]
        (lambda: larder.object_service_cache("x", max_age=-1), "number of seconds"),
        (lambda: larder.object_service_cache("x", max_age=True), "number of seconds"),
        (lambda: larder.object_service_cache()(partial(name, 1)), "no name of its own"),
        (lambda: larder.object_service_cache()(lambda n: n), "no name of its own"),
    ],
)
def test_misuse(decorate: Callable[[], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        decorate()


def test_two_functions_of_one_name() -> None:
    text = uuid.uuid4().hex
    larder.object_service_cache(text)(name)
    larder.object_service_cache(text)(name)  # again, as when a cell is run again
    larder.strategy_service_cache(text)(function_of_text)  # in another service
    with pytest.warns(larder.LarderWarning, match=r"tests\.test_forms\.function_of_text has the name .* as has tests\.test_forms\.name"):
        larder.object_service_cache(text)(function_of_text)


def test_a_decorated_function_is_an_argument(env: larder.Environment) -> None:
    @larder.object_service_cache(uuid.uuid4().hex)
    def apply(function: Callable[[int], int]) -> int:
        return function(3)

    assert apply(named) == 3
    assert apply.key(named) == apply.key(named)


def test_types(env: larder.Environment) -> None:
    """mypy runs over this."""
    assert_type(bare("SAP"), list[str])
    assert_type(bare.refresh("SAP", window=1), list[str])
    assert_type(bare.info("SAP", window=1), Info)
    assert_type(named(1), int)
    assert_type(strategy(), dict[str, int])
    assert_type(Model(1).fit("a"), str)
    assert_type(Model(1).fit.refresh("a"), str)
    assert_type(Model(1).fit.key("a"), str)
    with pytest.raises(TypeError):
        bare(1, 2, 3)  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        Model(1).fit()  # type: ignore[call-arg]

    async def session() -> None:
        assert_type(await later(1), int)
        assert_type(await later.forget(1), bool)
        assert_type(await Model(1).later(1), int)

    asyncio.run(session())

    @larder.object_service_cache("untyped result")
    def untyped(ticker: str) -> Any:
        return ticker

    with pytest.raises(TypeError):
        untyped()  # type: ignore[call-arg]


def test_errors_are_raised_by_the_operation(env: larder.Environment) -> None:
    @larder.object_service_cache
    def plain(a: int) -> int:
        return a

    @larder.object_service_cache
    async def later(a: int) -> int:
        return a

    operations: dict[str, Callable[[], Any]] = {
        "cached_only": lambda: plain.cached_only(1),
        "info": lambda: plain.info(1),
        "later": lambda: asyncio.run(later.cached_only(1)),
    }
    for name, operation in operations.items():
        with pytest.raises(larder.NotFound) as caught:
            operation()
        shown = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__) if not frame.f_locals.get("__tracebackhide__")]
        inside = [frame.f_code.co_name for frame in shown if os.sep + "larder" + os.sep in frame.f_code.co_filename]
        assert inside == [name.replace("later", "cached_only")]
