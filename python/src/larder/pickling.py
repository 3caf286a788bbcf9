"""Pickle, protocol 5 with out-of-band buffers, and cloudpickle where plain pickle would not do."""

from __future__ import annotations

import importlib.metadata
import io
import pickle
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from larder.errors import DecodeError, EncodeError, VersionMismatch
from larder.frame import Buffer

_PROTOCOL = 5
_IN_BAND = 4 << 10  # smaller buffers stay in the pickle

try:
    import cloudpickle as _cloudpickle
except ImportError:
    _cloudpickle = None


@dataclass(frozen=True)
class Pickled:
    """A pickle, the buffers beside it, what wrote it, and the versions of the libraries in it."""

    body: Buffer
    buffers: list[Buffer]
    pickler: str
    libraries: dict[str, str]


class _OnlyHere(Exception):
    """The value holds a class or function of __main__, which other processes cannot import."""


class _Pickler(pickle.Pickler):
    """Notes the packages that a pickle refers to."""

    def __init__(self, file: io.BytesIO, buffers: _Buffers, *, main: bool) -> None:
        super().__init__(file, protocol=_PROTOCOL, buffer_callback=buffers.take)
        self.modules: set[str] = set()
        self._main = main

    def reducer_override(self, obj: Any) -> Any:
        kind = obj if isinstance(obj, type) else type(obj)
        module = getattr(obj, "__module__", None) if callable(obj) else kind.__module__
        if isinstance(module, str):
            if module == "__main__" and not self._main:
                raise _OnlyHere
            self.modules.add(module.partition(".")[0])
        return NotImplemented


class _Buffers(list[Buffer]):
    """Buffers out of band."""

    def take(self, buffer: pickle.PickleBuffer) -> bool:
        """Whether the buffer goes into the pickle after all, as small ones do."""
        try:
            raw = buffer.raw()
        except BufferError:  # not contiguous
            return True
        if raw.nbytes < _IN_BAND:
            return True
        self.append(raw)
        return False


def dump(value: Any) -> Pickled:
    """Pickle a value. Raises EncodeError."""
    try:
        return _plain(value, main=_cloudpickle is None)
    except _OnlyHere:
        return _cloud(value, "it holds classes or functions of __main__")
    except (pickle.PicklingError, AttributeError, TypeError, RecursionError) as error:
        return _cloud(value, str(error))
    except Exception as error:
        raise EncodeError(f"a {type(value).__qualname__} cannot be pickled: {type(error).__name__}: {error}") from error


def _plain(value: Any, *, main: bool) -> Pickled:
    file, buffers = io.BytesIO(), _Buffers()
    pickler = _Pickler(file, buffers, main=main)
    pickler.dump(value)
    return Pickled(file.getbuffer(), list(buffers), "pickle", _versions(pickler.modules))


def _cloud(value: Any, reason: str) -> Pickled:
    kind = type(value).__qualname__
    if _cloudpickle is None:
        raise EncodeError(
            f"a {kind} cannot be pickled: {reason}; pip install cloudpickle, which can pickle lambdas and classes of a notebook"
        )
    file, buffers = io.BytesIO(), _Buffers()
    try:
        _cloudpickle.CloudPickler(file, protocol=_PROTOCOL, buffer_callback=buffers.take).dump(value)
    except Exception as error:
        raise EncodeError(f"a {kind} cannot be pickled: {error}") from error
    modules = {type(value).__module__.partition(".")[0], "cloudpickle"}
    return Pickled(file.getbuffer(), list(buffers), "cloudpickle", _versions(modules))


def _versions(modules: set[str]) -> dict[str, str]:
    """The versions of those packages that have one. Arrays inside pandas objects name numpy as well."""
    found = {}
    for name in sorted(modules):
        module = sys.modules.get(name)
        version = _version(module) if module is not None else None
        if version:
            found[name] = version
    return found


def _version(module: ModuleType) -> str | None:
    if module.__name__ in sys.stdlib_module_names:
        return None
    version = getattr(module, "__version__", None)
    if isinstance(version, str):
        return version
    try:
        return importlib.metadata.version(module.__name__)
    except importlib.metadata.PackageNotFoundError:
        return None


def load(data: Sequence[Buffer], header: Mapping[str, Any], key: str) -> Any:
    """Unpickle a pickle and its buffers. The header is that of the frame, which has been verified."""
    wrote = str(header.get("python", "?"))
    if header.get("pickler") == "cloudpickle" and wrote.split(".")[:2] != platform.python_version().split(".")[:2]:
        raise _mismatch(header, key, "it holds bytecode of its writer's Python", None)
    try:
        return pickle.loads(data[0], buffers=data[1:])
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        differ = _differences(header)
        if differ:
            failure: DecodeError = _mismatch(header, key, reason, error)
        else:
            failure = DecodeError(f"{key!r} cannot be unpickled here: {reason}{_hint(error)}")
        failure.original = error
        raise failure from None


def _hint(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"; install {error.name}, or import it, as its writer did"
    if isinstance(error, AttributeError) and "__main__" in str(error):
        return (
            "; its class was defined in the writer's script or notebook: define it in a module, or install cloudpickle where it is written"
        )
    return ""


def _differences(header: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(what, version that wrote, version here) of all that differ."""
    pairs = [("Python", str(header.get("python", "?")), platform.python_version())]
    libraries = header.get("libraries")
    for name, wrote in sorted(libraries.items()) if isinstance(libraries, dict) else []:
        try:
            here = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            module = sys.modules.get(name)
            here = (module and _version(module)) or "none"
        pairs.append((str(name), str(wrote), here))
    return [pair for pair in pairs if pair[1] != pair[2]]


def _mismatch(header: Mapping[str, Any], key: str, reason: str, error: BaseException | None) -> VersionMismatch:
    differ = _differences(header)
    wrote = ", ".join(f"{what} {version}" for what, version, _ in differ)
    here = ", ".join(f"{what} {version}" for what, _, version in differ)
    failure = VersionMismatch(
        f"{key!r} was written with {wrote}; here is {here} ({reason}). Use the same versions, or store it again with these"
    )
    failure.original = error
    return failure
