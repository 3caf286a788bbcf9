"""Where the results of one decorated function are kept: its keys, looking, keeping, and what it warns of.

Nothing that goes wrong here may fail a call: it is a warning, once for each cause, and the function is called.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from larder import carried
from larder.arguments import Arguments
from larder.aside import is_cancelled
from larder.claims import Claim
from larder.client import OBJECTS, STRATEGIES, Client
from larder.codedigest import code_digest
from larder.definitions import title_of
from larder.describe import META, info_of
from larder.differences import about_environment, code_differs, code_statement, settings_differences
from larder.environment import Environment, env, is_initialised, to_carry, use
from larder.errors import (
    BadRequest,
    Conflict,
    DecodeError,
    EncodeError,
    IntegrityError,
    LarderError,
    NotBuilt,
    NotFound,
    NotInitialised,
    OutcomeUnknown,
    TooLarge,
    warn,
)
from larder.listing import Entry as Listed
from larder.listing import Info, Keys
from larder.many import check_age
from larder.nearest import Here, explain
from larder.reads import Reads
from larder.service import expires_in_field
from larder.strategies import check_built

Name = str | Callable[..., str]

_DATE = r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d(\.\d+)?\+00:00)?(_[0-9a-f]{32})?"
_EXACT = 2.0  # seconds, to which ages are known
_GOODBYE = 5.0  # seconds that a builder waits until others know that it has failed
_MAX_REASON = 500  # characters
_MAX_TITLE = 120  # bytes of the function's name in the metadata


@dataclass(frozen=True)
class Options:
    """What a decorator was told. Without a name, the function's is taken."""

    service: str
    name: Name | None = None
    ignore: Sequence[str] = ()
    settings: bool = False
    code: str = "warn"
    max_age: float | None = None  # seconds, as are all times here
    stale_ok: float = 0.0  # for how long after max_age a value is returned while it is rebuilt
    expires_in: float | None = None
    single_build: bool = True
    wait: float | None = None


@dataclass(frozen=True)
class Slot:
    """Where the result of one call is kept, by the environment in which the call began."""

    environment: Environment | None  # of a build that no decorated function asks for, there may be none
    client: Client
    key: str
    env_hash: str
    changes: int  # of the environment's settings, until the call began
    checks: Sequence[Callable[[], str]] = ()  # each says why the value is not to be stored, if it is not

    @property
    def flight(self) -> Hashable:
        """What calls have in common that are one build."""
        return self.client.settings, self.key, self.env_hash

    def session(self) -> AbstractContextManager[object]:
        """Makes the environment current."""
        return nullcontext() if self.environment is None else use(self.environment)

    def is_unchanged(self) -> bool:
        """Reports whether the settings are what they were when the call began."""
        e = self.environment
        return e is None or (e.env_hash, e.changes()) == (self.env_hash, self.changes)


class Missing:
    """The answer of a cache that has no value. ``store`` tells whether one may be put there.

    ``max_age`` is how many seconds ago a value may have been written that is as good as one built now, and ``behind``
    that the caller does not wait for it.
    """

    def __init__(self, *, store: bool, max_age: float | None = None, behind: bool = False) -> None:
        self.store = store
        self.max_age = max_age
        self.behind = behind


class Stale:
    """A value that is too old, and is returned while one is built that was written at most ``max_age`` seconds ago."""

    def __init__(self, value: Any, max_age: float | None) -> None:
        self.value = value
        self.max_age = max_age


class _Changed(LarderError):
    """The value may not be that of the key: the settings were changed meanwhile, for example."""


class Unbound(Exception):
    """The arguments do not fit the function, which says so itself when it is called."""


def is_interrupt(error: BaseException) -> bool:
    """Reports whether an error is for whoever called, and no failure of the cache."""
    return isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit)) or is_cancelled(error)


class Entry:
    """The results of one function, by its arguments."""

    def __init__(self, function: Callable[..., Any], options: Options) -> None:
        self.function = function
        self.options = options
        self.title = title_of(function) or repr(function)
        self.name: Name = self.title if options.name is None else options.name
        self.code = code_digest(function)
        self.stated_code = code_statement(self.code)
        self.reads = Reads(function)
        self.took: float | None = None  # seconds, when it was last built
        self._arguments = Arguments(function, self.title, options.ignore)
        self._carried = b""
        self._warned: set[Hashable] = set()

    # A function of a notebook travels to other processes as a copy, and this with it.

    def __getstate__(self) -> dict[str, Any]:
        environment, is_unsure = to_carry()
        if environment is None:
            return {**self.__dict__, "_warned": set()}
        if is_unsure:
            self._warn("carried", carried.doubt(self.title, environment))
        return {**self.__dict__, "_carried": carried.pack(environment), "_warned": set()}

    def environment(self) -> Environment:
        """The current environment; in a process that has none, the one in which this was pickled."""
        return carried.unpack(self._carried) if self._carried and not is_initialised() else env()

    def session(self) -> AbstractContextManager[object]:
        """Makes the environment of a call current, for a function that is called without the cache."""
        try:
            return use(self.environment())
        except LarderError:  # there is none
            return nullcontext()

    # Keys.

    def slot(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Slot:
        """Where the result for these arguments is kept. Raises Unbound, LarderError, and what a name function does."""
        environment = self.environment()
        changes = environment.changes()
        try:
            bound = self._arguments.bind(args, kwargs)
        except TypeError as error:
            raise Unbound(str(error)) from None
        if callable(self.name):
            with nullcontext() if is_initialised() else use(environment):
                text = self._arguments.name_by(self.name, bound)
            if not isinstance(text, str) or not text:
                raise BadRequest(f"the name function of {self.title} returned {text!r}; a name is text that is not empty")
            self._arguments.check_whole(text, bound)
        else:
            arguments = self._arguments.text(bound)
            text = f"{self.name}({arguments})" if arguments else self.name
        env_hash = environment.env_hash
        if self.options.service == STRATEGIES:
            key = f"{text}|{environment.env_date}||{env_hash}"
        else:
            key = f"{text}_{environment.asofdate}" + (f"_{env_hash}" if self.options.settings else "")
        return Slot(environment, environment.client, key, env_hash, changes)

    def find_slot(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Slot | None:
        """As slot; None, after a warning, for arguments of which no key can be made."""
        try:
            return self.slot(args, kwargs)
        except Unbound:
            return None
        except NotInitialised:
            raise  # that is the caller's to do
        except BaseException as error:
            if is_interrupt(error):
                raise
            reason = str(error) if isinstance(error, LarderError) else f"{type(error).__name__}: {error}"
            cause = reason if isinstance(error, LarderError) else type(error)
            self._warn(("key", cause), f"{self.title} is called, and not cached, since its key cannot be made: {reason}")
            return None

    def check_arguments(self, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        """Raise TypeError, as a call does, for arguments that the function does not take."""
        self._arguments.bind(args, kwargs)

    # What a call does.

    def look(self, slot: Slot, *, stale: bool = False) -> Any:
        """The value that is stored, or a Missing. With ``stale`` also a Stale, if such values are to be returned."""
        there: list[Info] = []  # what may not count
        limit = self.options.max_age
        most = limit + self.options.stale_ok if limit is not None and stale else limit

        def judge_it(info: Info) -> None:
            there.append(info)
            self.judge(info, most)

        try:
            judge = judge_it if limit is not None or self.options.code == "recompute" else None
            value, headers = slot.client.fetch(self.options.service, slot.key, judge=judge, max_age=most, patient=False)
            remarks = list(self._remarks(slot, headers))
        except NotFound:
            self._served()
            return Missing(store=True, max_age=self._fresh(there))
        except (IntegrityError, DecodeError) as error:
            # What others may be able to read is not overwritten by one who cannot.
            text = f"{error}. The function is called instead; its refresh() replaces what is stored, also for those who can read it"
            self._warn(("read", type(error)), text)
            return Missing(store=False)
        except BaseException as error:
            if is_interrupt(error):
                raise
            self._warn(("look", *_cause(error)), f"the cache does not serve {slot.key!r}, so the function is called: {_text(error)}")
            return Missing(store=False)
        self._served()
        for cause, text in remarks:
            self._warn(cause, text)
        return Stale(value, self._fresh(there)) if limit is not None and there[-1].age > limit else value

    def _fresh(self, there: Sequence[Info]) -> float | None:
        """The age of a value that would count, if what is there does not."""
        if not there:
            return self.options.max_age
        self.took = there[-1].build_seconds
        youngest = max(0.0, there[-1].age - _EXACT)
        return youngest if self.options.max_age is None else min(youngest, self.options.max_age)

    def judge(self, info: Info, limit: float | None) -> None:
        """Raise NotFound for what is there and does not count, being older than so many seconds for example."""
        check_age(info, limit)
        if self.options.code == "recompute" and code_differs(info.meta.get("code", ""), self.code):
            raise NotFound(f"{info.key!r} was made by other code of {self.title}", type="other-code")

    def _remarks(self, slot: Slot, headers: Mapping[str, str]) -> Iterator[tuple[Hashable, str]]:
        """Why a value that is there may not be what the function would return."""
        code, env_hash = headers.get(META + "code", ""), headers.get(META + "env-hash", "")
        if self.options.code == "warn" and code != self.stated_code and code_differs(code, self.code):
            by = _authorship(info_of(slot.key, headers))
            yield ("code", code), f"the code of {self.title} differs from what {by} as {slot.key!r}; refresh() replaces it"
        elif self.options.code != "ignore" and (names := self.reads.differences(stated := headers.get(META + "reads", ""))):
            made = f"{slot.key!r}, which {_authorship(info_of(slot.key, headers))}, was made with another value of {names}"
            text = f"{made}, which {self.title} reads beside its arguments: make that an argument, or refresh() replaces what is there"
            yield ("reads", stated, self.reads.statement()), text
        other = bool(env_hash) and env_hash != slot.env_hash and self.options.service == OBJECTS
        if other and slot.environment is not None:
            info = info_of(slot.key, headers)
            differ = settings_differences(info.meta.get("settings", ""), slot.environment) or "their hash is another"
            yield (
                ("settings", env_hash, slot.env_hash),
                f"{slot.key!r}, which {_authorship(info)}, was made with other settings ({differ}); "
                "settings=True in the decorator puts them into the key, refresh() replaces what is there",
            )

    def keep(self, slot: Slot, value: Any, seconds: float, claim: Claim | None = None) -> bool:
        """Store a value, or warn, and end the claim. Reports whether a value is stored."""
        try:
            self._store(slot, value, seconds, claim.token if claim else "")
        except BaseException as error:
            if claim:
                self._give_up(claim, error)
            if is_interrupt(error):
                raise
            if isinstance(error, Conflict):  # another value is there, which is left alone
                return True
            failed = error
        else:
            if claim:
                claim.end()
            return True
        self._warn(("keep", *_cause(failed)), f"{slot.key!r} is returned and not cached: {_text(failed)}")
        return isinstance(failed, OutcomeUnknown)

    def _give_up(self, claim: Claim, error: BaseException) -> None:
        """End a claim whose value is not stored."""
        if isinstance(error, (Conflict, OutcomeUnknown)):
            claim.end()
        elif isinstance(error, (EncodeError, NotBuilt, TooLarge)):
            claim.give_up({"unstored": _text(error)[:_MAX_REASON]}, seconds=_GOODBYE)
        else:
            claim.give_up()

    def give_up(self, claim: Claim | None, error: BaseException) -> None:
        """End a claim whose build raised an error, of which all who wait are told; an interrupt only passes it on."""
        if claim is None:
            return
        if is_interrupt(error):
            claim.give_up()
            return
        lines = f"{type(error).__name__}: {error}".splitlines()
        claim.give_up({"error": lines[0][:_MAX_REASON]}, seconds=_GOODBYE)

    def _store(self, slot: Slot, value: Any, seconds: float, claim: str) -> None:
        if not slot.is_unchanged():
            raise _Changed("the settings were changed while it was built")
        for check in slot.checks:
            if reason := check():
                raise _Changed(reason)
        if self.options.service == STRATEGIES:
            check_built(value, slot.key)
        about = {"function": self.title[:_MAX_TITLE], "code": self.stated_code, "reads": self.reads.statement()}
        if slot.environment is not None:
            about |= about_environment(slot.environment, slot.env_hash)
        conditions = expires_in_field(self.options.expires_in)
        slot.client.store(
            self.options.service, slot.key, value, build_seconds=seconds, about=about, conditions=conditions, claim=claim, patient=False
        )

    # What is there.

    def listed(self) -> Keys:
        """What is stored of this function, of all arguments and dates."""
        if callable(self.name):
            raise TypeError(
                f"the keys of {self.title} are made by a function, so nothing tells them apart from others: list a prefix of them"
            )
        client, found = self.environment().client, list[Listed]()
        strategy = self.options.service == STRATEGIES
        for opening in ("(", "|" if strategy else "_"):
            rest = (r"\(.*\)" if opening == "(" else "") + (r"\|[^|]+\|\|[0-9a-f]+" if strategy else f"_{_DATE}")
            pattern = re.compile(re.escape(self.name) + rest, re.DOTALL)
            found += [e for e in client.entries(self.options.service, self.name + opening) if pattern.fullmatch(e.key)]
        return Keys(found)

    def explain(self, slot: Slot, error: NotFound) -> None:
        """Have a miss say what there is instead."""
        if error.status == 404:
            under = Here(None if slot.environment is None else dict(slot.environment), self.code)
            error.explained(partial(explain, slot.client, self.options.service, slot.key, under))

    def forget(self, client: Client, key: str) -> bool:
        """Remove what is stored, and report whether there was anything."""
        try:
            client.remove(self.options.service, key)
        except NotFound:
            return False
        return True

    # Warnings.

    def warn_of_coroutine(self) -> None:
        """The function is no coroutine function and returned a coroutine all the same."""
        self._warn(
            "coroutine", f"{self.title} returned a coroutine, which is not cached: put the decorator of larder directly above 'async def'"
        )

    def _served(self) -> None:
        """The cache answered, so that its next failure is worth a word again."""
        if self._warned:
            self._warned = {cause for cause in self._warned if not (isinstance(cause, tuple) and cause[0] == "look")}

    def _warn(self, cause: Hashable, text: str) -> None:
        if cause not in self._warned:
            self._warned.add(cause)
            warn(text)


def _authorship(info: Info) -> str:
    return f"{info.writer or 'somebody'} stored on {info.modified:%Y-%m-%d %H:%M} UTC"


def _cause(error: BaseException) -> tuple[Any, ...]:
    return type(error), getattr(error, "type", None), getattr(error, "status", None)


def _text(error: BaseException) -> str:
    return str(error) if isinstance(error, LarderError) else f"{type(error).__name__}: {error}"
