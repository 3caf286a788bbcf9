"""Pickle, protocol 5 with out-of-band buffers; cloudpickle for functions and classes that cannot be imported."""

from __future__ import annotations

import asyncio
import copyreg
import functools
import io
import pickle
import platform
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from larder import arrow, libraries, session, unpickle
from larder.culprit import find_culprit
from larder.definitions import MAIN, describe, name_of, of_main
from larder.errors import DecodeError, EncodeError, VersionMismatch, warn
from larder.frame import Buffer
from larder.importable import is_importable

_PROTOCOL = 5
_IN_BAND = 4 << 10  # smaller buffers stay in the pickle
_TRIED = 1 << 20  # a pickle of fewer bytes is read back before it is stored
_INTERRUPTS = (KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError)

try:
    import cloudpickle as _cloudpickle
except ImportError:
    _cloudpickle = None

F = TypeVar("F")

_warned: set[str] = set()


@dataclass(frozen=True)
class Pickled:
    """A pickle, the buffers beside it, what wrote it, and what it refers to.

    ``classes`` has the digests of the classes of ``__main__`` by name, ``copies`` a pickle with their copies.
    """

    body: Buffer
    buffers: list[Buffer]
    pickler: str
    libraries: dict[str, str]
    classes: dict[str, dict[str, str]] = field(default_factory=dict)
    copies: bytes = b""


class _NeedsCopy(Exception):
    """The value holds a function or class that other processes cannot import."""


class _Notes:
    """What a pickle refers to: packages, and classes of ``__main__``."""

    def __init__(self) -> None:
        self.modules: set[str] = set()
        self.classes: dict[str, type] = {}
        self.names: dict[type, str] = {}
        self.copied = False  # whether there is bytecode in it

    def note(self, obj: Any) -> None:
        module = obj.__name__ if isinstance(obj, types.ModuleType) else getattr(obj, "__module__", None)
        if isinstance(module, str):
            self.modules.add(module.partition(".")[0])

    def refer(self, cls: type) -> Any:
        """A class of ``__main__`` as a pickle has it."""
        name = self.names.get(cls)
        if name is None:
            name = self.names[cls] = name_of(cls)
            self.classes.setdefault(name, cls)
        return session.main_class, (name,)


_GLOBALS = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType, TypeVar)


class _Pickler(pickle.Pickler):
    """Plain pickle, with names for the classes of ``__main__``."""

    def __init__(self, file: Any, notes: _Notes, buffers: _Buffers) -> None:
        super().__init__(file, protocol=_PROTOCOL, buffer_callback=buffers.take)
        self._notes = notes

    def reducer_override(self, obj: Any) -> Any:
        """How an object is pickled that is not of Python's simplest types."""
        if not isinstance(obj, _GLOBALS):
            return arrow.reduce_slice(obj)
        self._notes.note(obj)
        if isinstance(obj, type) and of_main(obj):
            return self._notes.refer(obj)
        if _cloudpickle is None and _has_name_in_main(obj):
            _warn_of_reference(obj.__name__)
            return NotImplemented
        if not _is_reduced(obj) and not is_importable(obj):
            raise _NeedsCopy(getattr(obj, "__qualname__", repr(obj)))
        return NotImplemented


def _has_name_in_main(obj: Any) -> bool:
    """Reports whether a function or type variable of ``__main__`` can be found there by its name."""
    named = isinstance(obj, (types.FunctionType, TypeVar)) and obj.__module__ in MAIN
    return named and "<" not in getattr(obj, "__qualname__", obj.__name__)


def _is_reduced(obj: Any) -> bool:
    """Reports whether a class or object has a way of its own to be pickled."""
    return type(obj) in copyreg.dispatch_table or isinstance(obj, (types.BuiltinFunctionType, types.ModuleType))


@functools.cache
def _cloud_pickler() -> Any:
    """The class of picklers that copy functions and classes, for which cloudpickle has to be installed."""
    from cloudpickle.cloudpickle import _dynamic_class_reduce

    # Of these cloudpickle makes something else: the text of an open file, the bytes of a view.
    refused = (io.TextIOWrapper, memoryview)
    table = {kind: reduce for kind, reduce in _cloudpickle.CloudPickler.dispatch_table.items() if kind not in refused}
    table[functools.cached_property] = lambda p: (functools.cached_property, (p.func,), {"attrname": p.attrname})  # without its lock

    class CloudPickler(_cloudpickle.CloudPickler):  # type: ignore[misc]
        dispatch_table = table

        def __init__(self, file: Any, notes: _Notes, buffers: _Buffers, copied: type | None = None) -> None:
            super().__init__(file, protocol=_PROTOCOL, buffer_callback=buffers.take)
            self._notes = notes
            self._copied = copied

        def reducer_override(self, obj: Any) -> Any:
            if not isinstance(obj, _GLOBALS):
                return arrow.reduce_slice(obj)
            self._notes.note(obj)
            if isinstance(obj, type) and of_main(obj):
                return self._copy(obj) if obj is self._copied else self._notes.refer(obj)
            if isinstance(obj, (types.BuiltinFunctionType, types.ModuleType, TypeVar)) or is_importable(obj):
                return super().reducer_override(obj)
            self._notes.copied = True
            if isinstance(obj, types.FunctionType):
                return self._dynamic_function_reduce(obj)
            return super().reducer_override(obj)

        def _copy(self, cls: type) -> Any:
            make, args, *rest = _dynamic_class_reduce(cls)
            return session.begin_copy, (name_of(cls), make, *args), *rest

    return CloudPickler


class _Buffers(list[Buffer]):
    """Buffers out of band."""

    def take(self, buffer: pickle.PickleBuffer) -> bool:
        """Reports whether the buffer goes into the pickle after all, as small ones do."""
        try:
            raw = buffer.raw()
        except BufferError:  # not contiguous
            return True
        if raw.nbytes < _IN_BAND:
            return True
        self.append(raw)
        return False


def dump(value: Any) -> Pickled:
    """Pickle a value, such that it can be unpickled. Raises EncodeError."""
    try:
        notes, file, buffers = _write(value, io.BytesIO)
        copies = _copies(notes)
    except _NeedsCopy as needs:
        raise EncodeError(
            f"a {type(value).__qualname__} cannot be pickled: {needs} cannot be imported by others; pip install cloudpickle, "
            "which can pickle lambdas, and functions and classes of a notebook"
        ) from None
    except _INTERRUPTS:
        raise
    except BaseException as error:  # also those of Rust code, which are no Exception
        raise _cannot(value, error) from error
    described = {name: describe(cls) for name, cls in sorted(notes.classes.items())}
    pickler = "cloudpickle" if notes.copied else "pickle"
    pickled = Pickled(file.getbuffer(), list(buffers), pickler, libraries.versions(notes.modules), described, copies)
    _try(value, pickled)
    return pickled


def _write(value: Any, new_file: Callable[[], F]) -> tuple[_Notes, F, _Buffers]:
    """Pickle a value, by cloudpickle only if it holds what others cannot import."""
    notes, file, buffers = _Notes(), new_file(), _Buffers()
    try:
        _Pickler(file, notes, buffers).dump(value)
    except _NeedsCopy:
        if _cloudpickle is None:
            raise
        notes, file, buffers = _Notes(), new_file(), _Buffers()
        _cloud_pickler()(file, notes, buffers).dump(value)
    return notes, file, buffers


def _cannot(value: Any, error: BaseException) -> EncodeError:
    """The error of a value that cannot be pickled, with the path to what in it cannot."""
    path = find_culprit(value, lambda part: _write(part, _Nowhere))
    words = str(error) if isinstance(error, pickle.PicklingError) else f"{type(error).__name__}: {error}"
    return EncodeError(f"a {type(value).__qualname__} cannot be pickled{f', because of {path}' if path else ''}: {words}")


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, data: Buffer) -> int:
        return memoryview(data).nbytes


def _copies(notes: _Notes) -> bytes:
    """Pickles of the classes of ``__main__``, and of those that they refer to, by name."""
    if not notes.classes:
        return b""
    if _cloudpickle is None:
        for name in notes.classes:
            _warn_of_reference(name)
        return b""
    copies: dict[str, bytes] = {}
    failed: set[str] = set()
    while missing := [name for name in notes.classes if name not in copies and name not in failed]:
        for name in missing:
            file = io.BytesIO()
            inner = _Notes()
            inner.classes, inner.names = notes.classes, notes.names
            try:
                _cloud_pickler()(file, inner, _InBand(), notes.classes[name]).dump(notes.classes[name])
            except _INTERRUPTS:
                raise
            except BaseException as error:
                failed.add(name)
                _warn_of_reference(name, f"it cannot be copied ({type(error).__name__}: {error})", "Define it in a module")
                continue
            copies[name] = file.getvalue()
            notes.modules |= inner.modules - {"cloudpickle"}  # which only a copy needs
    return pickle.dumps(copies, _PROTOCOL)


class _InBand(_Buffers):
    """No buffers out of band."""

    def take(self, buffer: pickle.PickleBuffer) -> bool:
        return True


def _warn_of_reference(
    name: str, why: str = "cloudpickle is not installed", advice: str = "pip install cloudpickle, or define it in a module"
) -> None:
    if name not in _warned:
        _warned.add(name)
        warn(
            f"{name} is defined in this script or notebook, and {why}: only programs that define {name} "
            f"themselves can read what is stored. {advice}"
        )


def _try(value: Any, pickled: Pickled) -> None:
    """Read a small pickle back, since some objects can be pickled and not unpickled."""
    if memoryview(pickled.body).nbytes + sum(memoryview(b).nbytes for b in pickled.buffers) > _TRIED:
        return
    classes = session.Classes(pickled.classes, lambda: session.load_copies(pickled.copies) if pickled.copies else {}, same_python=True)
    buffers = [bytearray(b) for b in pickled.buffers]
    try:
        unpickle.run(session.Unpickler(io.BytesIO(bytes(pickled.body)), buffers, classes))
    except _INTERRUPTS:
        raise
    except BaseException as error:
        raise EncodeError(
            f"a {type(value).__qualname__} can be pickled, but nobody could unpickle it: {type(error).__name__}: {error}. "
            "An exception whose __init__ takes other arguments than it passes on needs a __reduce__, for example"
        ) from error


def load(data: Sequence[Buffer], header: Mapping[str, Any], key: str) -> Any:
    """Unpickle a pickle and its buffers. The header is that of the frame, which has been verified."""
    same_python = str(header.get("python", "?")).split(".")[:2] == platform.python_version().split(".")[:2]
    if header.get("pickler") == "cloudpickle" and not same_python:
        raise _other_python(header, key)
    described = header.get("classes")
    described = described if isinstance(described, dict) else {}
    *rest, copies = data[1:] if header.get("copies") else [*data[1:], b""]
    classes = session.Classes(described, lambda: session.load_copies(copies) if copies else {}, same_python=same_python)
    body = data[0] if isinstance(data[0], bytes) else bytes(data[0])
    try:
        value = unpickle.run(session.Unpickler(io.BytesIO(body), rest, classes))
    except session.OtherPython:
        raise _other_python(header, key) from None
    except (*_INTERRUPTS, MemoryError):
        raise
    except BaseException as error:
        failure = _failure(header, key, error, classes.differing)
        failure.original = error
        raise failure from None
    libraries.warn_of_risks(header.get("libraries"), key)
    classes.warn(key)
    return value


def _failure(header: Mapping[str, Any], key: str, error: BaseException, differing: Sequence[str]) -> DecodeError:
    """The error of a pickle that cannot be read here; what is most likely to mend it comes first."""
    reason = f"{type(error).__name__}: {error}"
    differ = libraries.differences(header.get("libraries"))
    if isinstance(error, ModuleNotFoundError) and error.name and not libraries.is_installed(error.name):
        advice = f"needs the module {error.name}, which is not installed here: pip install {libraries.distribution(error.name)}"
        text = f"{key!r} {advice}, or if it is a module of your own put it where Python finds it ({reason})"
        return VersionMismatch(f"{text}. It {_versions(differ)}") if differ else DecodeError(text)
    if differing:
        return DecodeError(
            f"{key!r} cannot be unpickled here: {reason}; the definition of {', '.join(differing)} here differs from the one it was "
            "stored with"
        )
    if not differ and header.get("python") != platform.python_version():
        differ = [("Python", str(header.get("python", "?")), platform.python_version())]
    if differ:
        return VersionMismatch(f"{key!r} {_versions(differ)} ({reason}). Use the same versions, or store it again with these")
    return DecodeError(f"{key!r} cannot be unpickled here: {reason}{_hint(error)}")


def _versions(differ: Sequence[tuple[str, str, str]]) -> str:
    wrote = ", ".join(f"{what} {version}" for what, version, _ in differ)
    return f"was written with {wrote}; here is {', '.join(f'{what} {version}' for what, _, version in differ)}"


def _hint(error: BaseException) -> str:
    if isinstance(error, AttributeError) and "__main__" in str(error):
        return "; it was defined in the writer's script or notebook: define it here, or in a module, or install cloudpickle at the writer"
    return ""


def _other_python(header: Mapping[str, Any], key: str) -> VersionMismatch:
    wrote, here = str(header.get("python", "?")), platform.python_version()
    return VersionMismatch(
        f"{key!r} was written with Python {wrote}; here is Python {here} (it holds functions or classes of a notebook as bytecode, which "
        f"other versions of Python cannot run). Define them in a module, or here under the same names, or store it again with Python {here}"
    )
