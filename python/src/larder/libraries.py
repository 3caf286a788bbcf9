"""Versions of libraries: those that a pickle refers to, and how they go with those here."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

from larder.errors import warn

# Modules that pip knows by another name.
_DISTRIBUTIONS = {
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}

_warned: set[tuple[str, str, str]] = set()


def versions(modules: Iterable[str]) -> dict[str, str]:
    """The versions of those packages that have one."""
    found = {}
    for name in sorted(modules):
        module = sys.modules.get(name)
        version = _version(module) if module is not None else None
        if version:
            found[name] = version
    return found


def distribution(module: str) -> str:
    """What pip calls a module."""
    top = module.partition(".")[0]
    return _DISTRIBUTIONS.get(top, top)


def is_installed(module: str) -> bool:
    """Reports whether the package of a module is here."""
    top = module.partition(".")[0]
    try:
        return sys.modules.get(top) is not None or importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        return False


def here(name: str) -> str:
    """The version of a package here, or "none"."""
    module = sys.modules.get(name)
    return (module and _version(module)) or _installed(name) or "none"


def _version(module: ModuleType) -> str | None:
    if module.__name__ in sys.stdlib_module_names:
        return None
    version = getattr(module, "__version__", None)
    return version if isinstance(version, str) else _installed(module.__name__)


@functools.cache
def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(distribution(name))
    except importlib.metadata.PackageNotFoundError:
        return None


def differences(libraries: Any) -> list[tuple[str, str, str]]:
    """(library, version that wrote, version here) of those that differ; first those that are a risk."""
    pairs = [(str(name), str(wrote), here(str(name))) for name, wrote in sorted(_items(libraries))]
    return sorted((p for p in pairs if p[1] != p[2]), key=lambda p: not _is_risk(p[1], p[2]))


def warn_of_risks(libraries: Any, key: str) -> None:
    """Warn, once per library and pair of versions, of what a pickle may mean something else to."""
    for name, wrote, now in differences(libraries):
        # What other versions of cloudpickle write cannot be read, or means the same.
        if name == "cloudpickle" or (name, wrote, now) in _warned or not _is_risk(wrote, now):
            continue
        _warned.add((name, wrote, now))
        warn(
            f"{key!r} was pickled with {name} {wrote}, and here is {now}: what was read may differ from what was written. "
            f"Use {name} {wrote} or a later {_release(wrote)[0]}.x, or have it written again with {now}"
        )


def _items(libraries: Any) -> Iterable[tuple[Any, Any]]:
    return libraries.items() if isinstance(libraries, Mapping) else ()


def _is_risk(wrote: str, now: str) -> bool:
    """Reports whether the version here is of another major, or older."""
    a, b = _release(wrote), _release(now)
    return bool(a and b) and (a[0] != b[0] or b < a)


def _release(version: str) -> tuple[int, ...]:
    found = re.match(r"v?(?:\d+!)?(\d+(?:\.\d+)*)", version)
    return tuple(map(int, found.group(1).split("."))) if found else ()
