"""Classes of ``__main__`` in pickles: the reader's own class of that name, else the writer's, which travels along.

A pickle refers to such a class by its name. Beside the pickle are digests of its definition, so that the reader
is told when the two differ, and if cloudpickle is there a copy of the class for readers who have none. A copy is
a pickle of its own, in which other classes of ``__main__`` are names again, and is read only where it is needed.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any

from larder import unpickle
from larder.definitions import MAIN, describe, own
from larder.errors import warn
from larder.frame import Buffer

_copies: dict[tuple[str, str], type] = {}  # by name and digest, so that equal definitions are one class here
_warned: set[tuple[str, str]] = set()


def main_class(name: str) -> type:
    """What a pickle calls for a class of ``__main__``; the reader takes its own function for it."""
    raise pickle.UnpicklingError(f"the class {name} of a script or notebook is read by larder only")


def begin_copy(name: str, make: Callable[..., type], *args: Any) -> type:
    """What a copy calls to make its class, before what is in it; the reader takes its own function for it."""
    raise pickle.UnpicklingError(f"the class {name} of a script or notebook is read by larder only")


class Classes:
    """The classes of ``__main__`` that one pickle names. ``described`` are their digests, ``copies`` their pickles."""

    def __init__(self, described: Mapping[str, Mapping[str, str]], copies: Callable[[], Mapping[str, bytes]], *, same_python: bool) -> None:
        self._described = described
        self._copies = copies
        self._same_python = same_python
        self._begun: dict[str, type] = {}
        self.differing: list[str] = []

    def find(self, name: str) -> type:
        """The class of a name."""
        found = own(name)
        if found is not None:
            self._compare(name, found)
            return found
        return self._begun.get(name) or self._copy(name)

    def warn(self, key: str) -> None:
        """Warn, once per class, of definitions that differ."""
        for name in self.differing:
            mark = (name, str(self._described.get(name)))
            if mark not in _warned:
                _warned.add(mark)
                warn(
                    f"{key!r} holds the class {name}, whose definition here differs from the one it was stored with. "
                    "The class of this session is used: what was stored may not fit it. Store it again if it should"
                )

    def _compare(self, name: str, found: type) -> None:
        part = "code" if self._same_python else "shape"
        stored = self._described.get(name)
        if stored and stored.get(part) != describe(found)[part] and name not in self.differing:
            self.differing.append(name)

    def _copy(self, name: str) -> type:
        mark = (name, str(self._described.get(name)))
        known = _copies.get(mark)
        if known is not None:
            return known
        if not self._same_python:
            raise OtherPython(name)
        data = self._copies().get(name)
        if data is None:
            raise AttributeError(
                f"the class {name} was defined in the writer's script or notebook, and no copy of it was stored: "
                "define it here, or have it stored again with cloudpickle, or from a module"
            )
        made: type = unpickle.run(Unpickler(io.BytesIO(data), (), self))
        return _copies.setdefault(mark, made)

    def begin(self, name: str, make: Callable[..., type], *args: Any) -> type:
        """Make the class of a copy. From here on it is found, also by what it refers to."""
        self._begun[name] = make(*args)
        return self._begun[name]


class OtherPython(Exception):
    """A copy of a class is needed, and its bytecode is of another Python."""


class Unpickler(pickle.Unpickler):
    """Finds the classes of ``__main__``."""

    def __init__(self, file: io.BytesIO, buffers: Any, classes: Classes) -> None:
        super().__init__(file, buffers=buffers)
        self._classes = classes

    def find_class(self, module: str, name: str) -> Any:
        """The global of that name."""
        if module == __name__:
            return {"main_class": self._classes.find, "begin_copy": self._classes.begin}[name]
        return super().find_class("__main__" if module in MAIN else module, name)


def load_copies(data: Buffer) -> dict[str, bytes]:
    """The copies that are beside a pickle."""
    found: dict[str, bytes] = pickle.loads(data)
    return found
