"""What a function reads beside its arguments: variables around it, and constants of its module.

They are no part of a key. Metadata states digests of those that a result was made with, so that who gets it is
told if one has another value here.
"""

from __future__ import annotations

import dis
import json
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from blake3 import blake3

from larder.codedigest import own_function
from larder.envhash import canonical
from larder.errors import SettingError

SCALARS = (bool, int, float, Decimal, str, bytes, date, timedelta)
_MAX_STATEMENT = 300  # bytes; S3 keeps 2 KB of metadata in all


def variables(function: types.FunctionType) -> dict[str, Any]:
    """The variables around a function that it reads, by name, but for itself and those that are not set yet."""
    found = dict[str, Any]()
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):
            if cell.cell_contents is not function:
                found[name] = cell.cell_contents
    return found


def global_names(function: types.FunctionType) -> list[str]:
    """The names of its module that a function may read, and does not set itself."""
    names, written, codes = set[str](), set[str](), [function.__code__]
    while codes:
        code = codes.pop()
        names.update(code.co_names)
        written.update(i.argval for i in dis.get_instructions(code) if i.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"))
        codes += [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return sorted(name for name in names - written if not name.startswith("__"))  # such as the module's name


def encoded_constants(values: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Those values that cannot change in place, encoded."""
    for name, value in values.items():
        if value is None or isinstance(value, (*SCALARS, tuple, frozenset)):
            with suppress(SettingError, ValueError):
                yield name, canonical(value)


class Reads:
    """What one decorated function reads beside its arguments."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = own_function(function)
        self._names = [] if self._function is None else global_names(self._function)

    def _digests(self) -> dict[str, str]:
        if self._function is None:
            return {}
        module = self._function.__globals__
        values = {name: module[name] for name in self._names if name in module} | variables(self._function)
        return {name: blake3(encoded).hexdigest(length=4) for name, encoded in encoded_constants(values)}

    def statement(self) -> str:
        """Digests of all of them, as JSON in ASCII; if that is too long, one digest of it. Empty if there are none."""
        digests = self._digests()
        text = json.dumps(digests, separators=(",", ":")) if digests else ""
        return text if len(text) <= _MAX_STATEMENT else f'"{blake3(text.encode()).hexdigest(length=4)}"'

    def differences(self, stated: str) -> str:
        """The names of those that had other values where something was made; empty if that is not known."""
        if not stated or stated == self.statement():
            return ""
        try:
            there = json.loads(stated)
        except ValueError:
            return ""
        if isinstance(there, str):
            return "some of its variables"
        known = self._digests() if isinstance(there, dict) else {}
        return ", ".join(sorted(name for name, digest in known.items() if there.get(name, digest) != digest))
