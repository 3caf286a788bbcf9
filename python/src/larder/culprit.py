"""The part of a value that cannot be pickled, as a path from the value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

_DEPTH = 20
_PARTS = 10_000  # of one container that are tried


def find_culprit(value: Any, dump: Callable[[Any], object]) -> str:
    """The path to the innermost part that ``dump`` refuses, such as ``['model'].lock``; empty for the value itself."""
    path = ""
    for _ in range(_DEPTH):
        step = next(((name, part) for name, part in _parts(value) if not _passes(part, dump)), None)
        if step is None:
            break
        path, value = path + step[0], step[1]
    return path


def _passes(part: Any, dump: Callable[[Any], object]) -> bool:
    try:
        dump(part)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        return False
    return True


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What a value is made of, as far as that can be told without its own code."""
    if isinstance(value, Mapping):
        for at, (name, part) in zip(range(_PARTS), value.items(), strict=False):
            yield f"[{name!r}]", part
            if not isinstance(name, str):
                yield f".keys()[{at}]", name
    elif isinstance(value, (list, tuple)):
        for at, part in zip(range(_PARTS), value, strict=False):
            yield f"[{at}]", part
    elif isinstance(value, (set, frozenset)):
        for part in value:
            yield f"{{{part!r}}}", part
    elif getattr(getattr(value, "dtype", None), "kind", "") == "O" and hasattr(value, "tolist"):
        for at, part in zip(range(_PARTS), value.tolist(), strict=False):
            yield f"[{at}]", part
    elif type(value).__name__ == "DataFrame" and hasattr(value, "items"):
        for name, part in value.items():
            yield f"[{name!r}]", part
    yield from ((f".{name}", part) for name, part in _attributes(value))


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, type) or "__getstate__" in vars(type(value)) or "__reduce__" in vars(type(value)):
        return
    yield from getattr(value, "__dict__", {}).items()
    closure = getattr(value, "__closure__", None) or ()
    for name, cell in zip(getattr(getattr(value, "__code__", None), "co_freevars", ()), closure, strict=False):
        try:
            yield name, cell.cell_contents
        except ValueError:
            continue
    for cls in type(value).__mro__:
        slots = vars(cls).get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            if hasattr(value, name):
                yield name, getattr(value, name)
