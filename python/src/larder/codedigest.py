"""The digest of a function's own code, which tells that it was edited.

It covers the instructions, names and constants of the function and of the functions within it, and its
defaults. Comments, docstrings, line numbers and file names are no part of it, nor are the functions that it
calls. Bytecode is another in each minor version of Python, so digests of two versions are not compared.
"""

from __future__ import annotations

import enum
import functools
import inspect
import sys
import types
from collections.abc import Callable
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

from blake3 import blake3

_HAS_DOCSTRING = 0x4000000  # of co_flags, since Python 3.14


def code_digest(function: Callable[..., Any]) -> str:
    """The digest of a function's own code: 32 hex digits; empty for what has no code in Python."""
    plain = own_function(function)
    return "" if plain is None else plain_digest(plain)


def plain_digest(function: types.FunctionType) -> str:
    """The digest of the code of a function itself, whatever it wraps."""
    defaults = (function.__defaults__, sorted((function.__kwdefaults__ or {}).items()))
    whole = repr((_of_code(function.__code__), constant(defaults)))
    return blake3(whole.encode(errors="surrogatepass")).hexdigest(length=16)


def own_function(function: Any) -> types.FunctionType | None:
    """The function in Python beneath wrappers, partials and methods."""
    while True:
        function = inspect.unwrap(function)
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, types.MethodType):
            function = function.__func__
        elif isinstance(function, types.FunctionType):
            return function
        else:
            call = vars(type(function)).get("__call__")
            if not isinstance(call, types.FunctionType):
                return None
            function = call


def _of_code(code: types.CodeType) -> tuple[Any, ...]:
    constants: list[Any] = list(code.co_consts)
    if _has_docstring(code):
        constants[0] = None
    if "__firstlineno__" in code.co_names:  # Python 3.13 keeps the line of a class as a constant
        constants = [c for c in constants if c != code.co_firstlineno]
    return (
        code.co_code.hex(),
        code.co_exceptiontable.hex(),
        code.co_flags & ~_HAS_DOCSTRING,
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount),
        (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars),
        [constant(c) for c in constants],
    )


def _has_docstring(code: types.CodeType) -> bool:
    """Reports whether the first constant is a docstring. Before Python 3.14, that of other functions is None."""
    if sys.version_info >= (3, 14):
        return bool(code.co_flags & _HAS_DOCSTRING)
    is_function = code.co_flags & inspect.CO_OPTIMIZED and not code.co_name.startswith("<")
    return bool(is_function and code.co_consts and isinstance(code.co_consts[0], str))


def constant(value: Any) -> Any:
    """A constant or default as something whose repr is the same in each process."""
    match value:
        case types.CodeType():
            return _of_code(value)
        case frozenset() | set():
            return type(value).__name__, sorted(repr(constant(v)) for v in value)
        case tuple() | list():
            return type(value).__name__, [constant(v) for v in value]
        case dict():
            return "dict", [(constant(k), constant(v)) for k, v in value.items()]
        case enum.Enum():
            return type(value).__qualname__, value.name
        case bool() | int() | float() | complex() | str() | bytes() | None | date() | time() | timedelta() | Decimal() | range() | slice():
            return type(value).__name__, repr(value)
    return type(value).__qualname__  # without its module: what is __main__ here is another in spawned processes
