"""What is there in place of a key that is not: the nearest keys, and what differs. Asked when somebody reads the message of a miss."""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from larder.client import STRATEGIES, Client
from larder.differences import code_differs, settings_differences
from larder.errors import LarderError
from larder.libraries import here
from larder.listing import Info

_SHOWN = 3  # keys
_LISTED = 1000
_SECONDS = 5.0  # in which another request is begun
_ALIKE = 0.75  # how alike two names are that may be meant for each other

_DATE = r"(?P<date>\d{4}-\d\d-\d\d([T ]\d\d:\d\d:\d\d(\.\d+)?\+\d\d:\d\d)?)"
_OBJECT = re.compile(rf"(?P<name>.*?)(?P<arguments>\(.*\))?_{_DATE}(_(?P<hash>[0-9a-f]{{32}}))?", re.DOTALL)
_STRATEGY = re.compile(rf"(?P<name>.*?)(?P<arguments>\(.*\))?\|{_DATE}\|\|(?P<hash>[0-9a-f]+)", re.DOTALL)


@dataclass(frozen=True)
class _Parts:
    """What a key is made of, as far as it is of a decorated function or a strategy."""

    name: str
    arguments: str = ""
    date: str = ""
    hash: str = ""


@dataclass(frozen=True)
class Here:
    """What a key was asked for under: settings, and the digest of a function's code, if they are known."""

    settings: Mapping[str, Any] | None = None
    code: str = ""


def explain(client: Client, service: str, key: str, under: Here) -> str:
    """The end of the message of a miss; empty if nothing is near, or that cannot be known quickly. A few requests, none of them patient."""
    began = time.monotonic()
    wanted, near = _parts(service, key), list[str]()
    with client.brief() as asked:
        for prefix in _prefixes(wanted):
            if near or time.monotonic() > began + _SECONDS:
                break
            near = _nearest(service, wanted, key, asked.page(service, prefix, patient=False, limit=_LISTED))
        shown = []
        for other in near[:_SHOWN]:
            info = None
            if time.monotonic() < began + _SECONDS:
                info = _info(asked, service, other)
            reasons = "; ".join(_reasons(wanted, _parts(service, other), info, under))
            shown.append(f"{other!r}" + (f" ({reasons})" if reasons else ""))
    return f"; near it {'is' if len(shown) == 1 else 'are'} {', '.join(shown)}" if shown else ""


def _parts(service: str, key: str) -> _Parts:
    found = (_STRATEGY if service == STRATEGIES else _OBJECT).fullmatch(key)
    if found is None:
        return _Parts(key)
    return _Parts(found["name"], found["arguments"] or "", found["date"], found["hash"] or "")


def _prefixes(wanted: _Parts) -> list[str]:
    """Where keys may be that are like one: from those with its name to those that begin with its first letters."""
    name = wanted.name
    first = name[: max(1, min(4, len(name) // 2))]
    return list(dict.fromkeys(p for p in (name, first, first[:1].swapcase() + first[1:], name[:1], name[:1].swapcase()) if p))


def _nearest(service: str, wanted: _Parts, key: str, listed: list[str]) -> list[str]:
    ranked = []
    for other in listed:
        distance = _distance(wanted, _parts(service, other))
        if other != key and distance is not None:
            ranked.append((*distance, other))
    return [other for *_, other in sorted(ranked)[:_SHOWN]]


def _distance(one: _Parts, other: _Parts) -> tuple[float, int] | None:
    """How far two keys are from each other, by what differs, and then by days; None if they have nothing in common."""
    unlike = 0.0
    if one.name != other.name:
        a, b = _plain(one.name), _plain(other.name)
        alike = difflib.SequenceMatcher(None, a, b)
        if alike.real_quick_ratio() < _ALIKE or alike.quick_ratio() < _ALIKE or alike.ratio() < _ALIKE:
            return None
        unlike = 4 + (1 - alike.ratio())
    unlike += 2 * (one.arguments != other.arguments) + (one.date != other.date) + (one.hash != other.hash)
    return unlike, abs(_day(one.date) - _day(other.date))


def _plain(name: str) -> str:
    return "".join(name.split()).casefold()


def _day(text: str) -> int:
    try:
        return date.fromisoformat(text[:10]).toordinal()
    except ValueError:
        return 0


def _info(client: Client, service: str, key: str) -> Info | None:
    try:
        return client.stat(service, key, patient=False)
    except LarderError:
        return None


def _reasons(wanted: _Parts, there: _Parts, info: Info | None, under: Here) -> list[str]:
    """What differs between what is wanted and what is there."""
    reasons = []
    if wanted.name != there.name and _plain(wanted.name) == _plain(there.name):
        reasons.append("other capitals or spaces")
    if wanted.name == there.name and wanted.arguments != there.arguments:
        reasons.append("other arguments")
    if wanted.date and there.date and wanted.date != there.date:
        reasons.append(f"of {there.date[:10] if wanted.date[:10] != there.date[:10] else there.date}")
    if wanted.hash != there.hash:
        stated = info.meta.get("settings", "") if info else ""
        differ = "" if under.settings is None else settings_differences(stated, under.settings)
        reasons.append(differ or ("other settings" if wanted.hash and there.hash else "with the settings in the key" if there.hash else ""))
    if info is not None:
        if code_differs(info.meta.get("code", ""), under.code):
            reasons.append("made by other code")
        reasons += [
            f"{name} {version} there, {here(name)} here" for name, version in info.libraries.items() if _is_other(version, here(name))
        ]
        reasons.append(info.authorship().removeprefix("an object "))
    return [reason for reason in reasons if reason]


def _is_other(there: str, here: str) -> bool:
    """Reports whether a library has another major version, or is not installed here."""
    return there.partition(".")[0] != here.partition(".")[0]
