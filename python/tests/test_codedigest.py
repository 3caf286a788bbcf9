"""The digest of code: another for other code, the same for the same."""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from larder.codedigest import code_digest
from larder.differences import code_differs, code_statement, settings_differences, settings_statement

BASE = 'def f(x, n=5):\n    "doc"\n    def g(y):\n        return y + 1\n    return [g(v) for v in x if v in {"a", "b"}]\n'


def made(source: str, name: str = "<file>") -> Callable[..., Any]:
    scope: dict[str, Any] = {}
    exec(compile(source, name, "exec"), scope)
    return scope["f"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("old", "new"),
    [("def", "# a comment\n\ndef"), ('"doc"', '"another doc"'), ("    return [", "\n    # why\n    return [")],
)
def test_the_same(old: str, new: str) -> None:
    assert code_digest(made(BASE)) == code_digest(made(BASE.replace(old, new, 1), "another file"))


@pytest.mark.parametrize(("old", "new"), [("n=5", "n=7"), ("y + 1", "y + 2"), ('"b"', '"c"'), ("y + 1", "y - 1"), ("[g(v)", "[abs(v)")])
def test_another(old: str, new: str) -> None:
    assert code_digest(made(BASE)) != code_digest(made(BASE.replace(old, new, 1)))


def test_defaults() -> None:
    """A default counts by its value; where its class was defined does not, since spawned processes call that another."""

    def digest(default: Any) -> str:
        def f(x: Any = default) -> Any:
            return x

        return code_digest(f)

    day, main, spawned = date(2022, 1, 30), type("Side", (), {"__module__": "__main__"}), type("Side", (), {"__module__": "__mp_main__"})
    assert len({digest(v) for v in (1, True, "1", day, day.replace(2023), Decimal(1), Decimal(2), Color.RED, Color.BLUE, main())}) == 10
    assert digest(day) == digest(date(2022, 1, 30))
    assert digest(main()) == digest(spawned())


class Color(enum.Enum):
    RED, BLUE = 1, 2


def test_beneath_wrappers() -> None:
    f = made(BASE)

    @functools.wraps(f)
    def wrapper(*args: Any) -> Any:
        return f(*args)

    assert code_digest(wrapper) == code_digest(functools.partial(f, 1)) == code_digest(f)
    assert code_digest(len) == ""


def test_other_pythons_are_not_compared() -> None:
    assert not code_differs("3.1:00", "ff")
    assert not code_differs(code_statement("ff"), "ff")
    assert code_differs(code_statement("00"), "ff")
    assert not code_differs("", "ff")


def test_settings() -> None:
    there = settings_statement({"universe": "DAX", "costs": 0.1, "api_token": "abc", "many": list(range(100))})
    assert "abc" not in there
    assert settings_differences(there, {"universe": "SPX", "costs": 0.1, "api_token": "abc", "many": list(range(100))}) == (
        "universe: 'DAX' there, 'SPX' here"
    )
    assert settings_differences(there, {"universe": "DAX", "costs": 0.1, "api_token": "abd"}).count("digest") == 3
    assert "new: none there, 1 here" in settings_differences(there, {"new": 1})
    assert settings_differences("no JSON", {"a": 1}) == settings_differences("[]", {"a": 1}) == ""


def test_settings_are_bounded() -> None:
    for size in (1, 10, 30, 1000):
        assert len(settings_statement({f"setting {i} \u00e9": "x" * i for i in range(size)})) <= 500
