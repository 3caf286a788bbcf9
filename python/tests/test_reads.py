"""What a decorated function reads beside its arguments: who gets a result that was made with other values is told."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

import larder
from larder.reads import Reads
from tests.conftest import collected

COSTS, NAMES = 0.1, ["SAP"]


def reading(source: str, **module: Any) -> Callable[..., Any]:
    """A function of a module with those variables."""
    exec(source, module)
    made: Callable[..., Any] = module["f"]
    return made


def around(**variables: Any) -> Callable[[], Any]:
    costs, other = variables["costs"], variables.get("other")
    return lambda: (costs, other)


ONE = "def f(n=1):\n  def inner(): return COSTS\n  return inner() * n"


def test_a_variable_of_the_module_that_changes(env: larder.Environment, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def net() -> float:
        NAMES.append("SIE")  # what can change in place is not compared
        return 100 * COSTS

    cached, quiet = larder.object_service_cache(unique)(net), larder.object_service_cache(lambda: unique, code="ignore")(net)
    with collected() as texts:
        assert [cached(), cached()] == [10, 10]
        monkeypatch.setattr(f"{__name__}.COSTS", 0.5)
        assert [cached(), cached(), quiet()] == [10, 10, 10]
        monkeypatch.setattr(f"{__name__}.COSTS", 0.9)
        assert [cached(), cached()] == [10, 10]
        assert [cached.refresh(), cached()] == [90, 90]
    assert len(texts) == 2
    assert "was made with another value of COSTS, which " in texts[0]


def test_a_closure_of_another_variable(env: larder.Environment, unique: str) -> None:
    assert larder.object_service_cache(unique)(around(costs=1))() == (1, None)
    with pytest.warns(larder.LarderWarning, match="another value of costs, which"):
        assert larder.object_service_cache(lambda: unique)(around(costs=2))() == (1, None)


@pytest.mark.parametrize(
    ("there", "here", "names"),
    [
        (reading(ONE, COSTS=1), reading(ONE, COSTS=1), ""),
        (reading(ONE, COSTS=1), reading(ONE, COSTS=1.0), "COSTS"),
        (reading(ONE, COSTS=[1]), reading(ONE, COSTS=[2]), ""),
        (reading(ONE, COSTS=[1]), reading(ONE, COSTS=2), ""),
        (reading("def f(): return A, B", A=1, B=(2,)), reading("def f(): return A, B", A=2, B=(3,)), "A, B"),
        (reading("def f():\n  global A\n  A = 1", A=1), reading("def f():\n  global A\n  A = 1", A=2), ""),
        (reading("def f(): return __name__", __name__="a"), reading("def f(): return __name__", __name__="b"), ""),
        (around(costs=None, other=1), around(costs=1, other=None), "costs, other"),
        (functools.partial(around(costs=1)), functools.partial(around(costs=2)), "costs"),
        (reading(ONE), reading(ONE, COSTS=1), ""),
        (len, around(costs=1), ""),
        (around(costs="x"), len, ""),
    ],
)
def test_differences(there: Callable[..., Any], here: Callable[..., Any], names: str) -> None:
    assert Reads(here).differences(Reads(there).statement()) == names


def test_many_variables() -> None:
    source = f"def f(): return {', '.join(f'VARIABLE_{n}' for n in range(50))}"
    one, two = ({f"VARIABLE_{n}": n + more for n in range(50)} for more in (0, 1))
    statement = Reads(reading(source, **one)).statement()
    assert len(statement) <= 300
    assert Reads(reading(source, **one)).differences(statement) == ""
    assert Reads(reading(source, **two)).differences(statement) == "some of its variables"


@pytest.mark.parametrize(
    ("stated", "names"), [("", ""), ("[", ""), ("[]", ""), ("null", ""), ('{"costs":1}', "costs"), ('{"other":1,"more":1}', "other")]
)
def test_what_others_may_have_stated(stated: str, names: str) -> None:
    assert Reads(around(costs=1)).differences(stated) == names
