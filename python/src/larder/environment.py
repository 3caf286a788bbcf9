"""The environment of a session: a date, settings, and their hash.

Each thread and each asyncio task has an environment of its own. One that has made none uses that of the
process, which ``larder.init`` in the main thread sets.
"""

from __future__ import annotations

import asyncio
import re
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime
from types import FrameType, TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from larder.client import Client
from larder.envhash import Hash, canonical
from larder.errors import ConfigError, NotInitialised, SettingError, short_traceback
from larder.listing import html_table
from larder.objects import ObjectService
from larder.strategies import StrategyService

EnvDate = str | date | datetime


class Environment(MutableMapping[str, Any]):
    """Settings, by name, and the date as of which things are built. Made by ``larder.init``.

    The date is not part of the hash. A setting of a type without a defined hash is refused at once, and a
    list or mapping that is a setting may be changed in place: the hash is of what is there when it is asked.
    At the end of ``with larder.init(...)`` the environment before it is the current one again.
    """

    def __init__(self, env_date: EnvDate, client: Client, settings: dict[str, Any]) -> None:
        self._date = d = _parse_date(env_date)
        self._asofdate = d if (d.hour, d.minute, d.second, d.microsecond) != (0, 0, 0, 0) else d.date()
        self._env_date = d.isoformat()
        self._client = client
        self._settings: dict[str, Any] = {}
        self._changes = 0
        self._version = object()  # another one after each setting that is set or removed
        self._hash: tuple[object, Hash] | None = None  # of which version
        self.update(settings)
        self._before: _State | None = None
        self._entered = False

    def __enter__(self) -> Self:
        self._entered = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._entered = False
        if self._before is not None:
            self._before.restore()

    @property
    def client(self) -> Client:
        """The client that this environment's services use."""
        return self._client

    @property
    def asofdate(self) -> date:
        """The environment's date: a date if its time is midnight in UTC, else a datetime in UTC."""
        return self._asofdate

    @property
    def env_date(self) -> str:
        """ENV_DATE of this environment's keys: RFC 3339, in UTC."""
        return self._env_date

    @property
    def env_hash(self) -> str:
        """ENV_HASH of this environment's keys: 32 hex digits that depend on the settings alone."""
        known, version = self._hash, self._version
        if known is None or known[0] is not version or not known[1].holds():
            known = self._hash = version, Hash(self.hashed())
        return known[1].text

    def hashed(self) -> Mapping[str, Any]:
        """The settings that the hash is of: all of them."""
        return self._settings

    def changes(self) -> int:
        """How often a setting that the hash is of was set to something else, or removed."""
        return self._changes

    def strategy_service(self) -> StrategyService:
        """The strategies of this environment."""
        return StrategyService(self._client, self)

    def object_service(self) -> ObjectService:
        """Objects, which have any key and belong to no environment."""
        return ObjectService(self._client)

    def __getitem__(self, name: str) -> Any:
        return self._settings[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if not isinstance(name, str):
            raise ConfigError(f"the name of a setting is text, not {name!r}")
        encoded = canonical(value, f"the setting {name!r}")
        canonical(name, "the name of a setting")
        if self._differs(name, encoded):
            self._changes += 1
        self._settings[name] = value
        self._version = object()  # only now: who reads meanwhile must not take what it reads for the new version

    def _differs(self, name: str, encoded: bytes) -> bool:
        try:
            return name not in self._settings or canonical(self._settings[name], name) != encoded
        except SettingError:  # what is there was changed in place to what has no hash
            return True

    def __delitem__(self, name: str) -> None:
        del self._settings[name]
        self._version = object()
        self._changes += 1

    def __iter__(self) -> Iterator[str]:
        return iter(self._settings)

    def __len__(self) -> int:
        return len(self._settings)

    __hash__ = None  # type: ignore[assignment]  # it is mutable

    def __repr__(self) -> str:
        return f"<larder.Environment {self.env_date} {self.env_hash}, {len(self)} settings, {self._client!r}>"

    def _repr_html_(self) -> str:
        rows = [["env_date", self.env_date], ["env_hash", self.env_hash], *([name, repr(value)] for name, value in sorted(self.items()))]
        return html_table(["", ""], rows, "larder environment")


def _parse_date(given: EnvDate) -> datetime:
    """A moment in UTC. What has no zone is in UTC; a date is its midnight."""
    if isinstance(given, str):
        text = given.strip()
        # Before Python 3.11 there were other ISO forms; only these mean one thing to everybody.
        if not re.fullmatch(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?", text, re.ASCII):
            raise ConfigError(f"env_date {given!r} is not a date; write it like 2022-01-30 or 2022-01-30T17:00:00+00:00")
        try:
            given = datetime.fromisoformat(text)
        except ValueError as error:
            raise ConfigError(f"env_date {text!r} is not a date: {error}") from None
    if not isinstance(given, date) or given != given:
        raise ConfigError(f"env_date is a {type(given).__qualname__}; give a date, a datetime or text like 2022-01-30")
    if not isinstance(given, datetime):
        return datetime(given.year, given.month, given.day, tzinfo=UTC)
    zone = given.tzinfo if given.utcoffset() is not None else UTC
    fields = (given.year, given.month, given.day, given.hour, given.minute, given.second, given.microsecond)
    try:
        return datetime(*fields, tzinfo=zone, fold=given.fold).astimezone(UTC)
    except OverflowError:
        raise ConfigError(f"env_date {given} is outside of the years that UTC has") from None


class _Own(NamedTuple):
    """The environment of a thread or task, which copies of its context inherit."""

    environment: Environment | None  # None after de_init
    process: bool = False  # it was made as the process's
    block: bool = False  # it ends with a block of ``use``
    thread: int = 0  # which made it


class _Process:
    """The environment of threads and tasks that have none of their own."""

    environment: Environment | None = None
    follows_cells = False
    first: Environment | None = None  # that was current anywhere
    had_others = False


_own: ContextVar[_Own | None] = ContextVar("larder environment", default=None)


class _State(NamedTuple):
    """What was current before ``larder.init``."""

    own: _Own | None
    process: Environment | None
    main: bool

    def restore(self) -> None:
        _own.set(self.own)
        if self.main:
            _Process.environment = self.process


def _is_main() -> bool:
    """Reports whether the program itself runs here: the main thread outside of tasks, or the cell of a notebook."""
    current = threading.current_thread()
    if current is not threading.main_thread() and type(current).__name__ != "_MainThread":  # eventlet has another one
        return False
    try:
        return asyncio.current_task() is None or _in_cell()
    except RuntimeError:  # no loop is running
        return True


def _in_cell() -> bool:
    """Reports whether IPython runs a cell here. It does so in a task, from which those that the cell begins differ."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module == "asyncio.events":
            return False  # the loop called this task
        if frame.f_code.co_name == "run_cell_async" and module.startswith("IPython."):
            return True
        frame = frame.f_back
    return False


def _current() -> Environment | None:
    own = _own.get()
    return _Process.environment if own is None else own.environment


def _follow_cells() -> None:
    """Have each cell of a notebook begin with the process's environment.

    A cell that awaits may run in a context of its own, so that what it sets there is not seen by the next one.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None and not _Process.follows_cells:
        _Process.follows_cells = True
        shell.events.register("pre_run_cell", _begin_cell)


def _begin_cell(*_: object) -> None:
    own = _own.get()
    if own is None or own.process:
        _own.set(_Own(_Process.environment, process=True, thread=threading.get_ident()))


def _own_of(environment: Environment | None, *, process: bool = False, block: bool) -> _Own:
    """An environment as this thread's, of which is remembered whether it is not the process's only one."""
    first = _Process.first
    if first is None:
        _Process.first = environment
    elif environment is not None and environment is not first and not _Process.had_others:
        _Process.had_others = (environment.env_date, environment.env_hash) != (first.env_date, first.env_hash)
    return _Own(environment, process, block, threading.get_ident())


def _set(environment: Environment | None) -> None:
    own = _own.get()
    block = own is not None and own.block
    main = not block and _is_main()
    if own is not None and own.environment is not None and own.thread == threading.get_ident() and not own.environment._entered:
        own.environment._before = None  # or each would keep all that were before it
    if environment is not None:
        environment._before = _State(own, _Process.environment, main)
    _own.set(_own_of(environment, process=main, block=block))
    if main:
        _Process.environment = environment
        _follow_cells()


@contextmanager
def use(environment: Environment) -> Iterator[Environment]:
    """Make an environment current in this thread or task, for a block.

    What ``larder.init`` changes within the block ends with it.
    """
    if not isinstance(environment, Environment):
        raise ConfigError(f"larder.use takes an environment, which larder.init returns, not {environment!r}")
    token = _own.set(_own_of(environment, block=True))
    try:
        yield environment
    finally:
        _own.reset(token)


@short_traceback
def init(env_date: EnvDate, *, client: Client | None = None, **settings: Any) -> Environment:
    """Begin a session: its environment is what ``larder.env`` and the decorators use from now on.

    In the main thread, the environment is also that of all threads and tasks that make none of their own; in
    another thread, or in an asyncio task, it is that of this thread or task alone.

    ``settings`` are the environment's, as if by ``env[name] = value``. The cluster and its credentials come
    from LARDER_URL, LARDER_TOKEN and LARDER_SIGNING_KEY or a file with such settings, or from a ``client``. A
    session that follows another keeps its client, and with it its connections, if those say the same.
    """
    return begin(Environment, env_date, client, settings)


E = TypeVar("E", bound=Environment)


def begin(kind: type[E], env_date: EnvDate, client: Client | None, settings: dict[str, Any]) -> E:
    """Make an environment of some kind the current one."""
    if client is not None and not isinstance(client, Client):
        raise ConfigError(f"client is a larder.Client, for example larder.Client('http://127.0.0.1:8080'), not {client!r}")
    if client is None:
        before, client = _current() or _Process.environment, Client()
        if before is not None and before.client.settings == client.settings:
            client = before.client
    environment = kind(env_date, client, settings)
    _set(environment)
    return environment


class Pinned:
    """A build in an environment that is not the process's, which threads that the build begins would take for theirs."""

    running: list[Pinned] = []  # noqa: RUF012  # it is one for the process

    def __init__(self) -> None:
        self._before = weakref.WeakSet(threading.enumerate())
        self._mixed = False

    def note(self, thread: threading.Thread) -> None:
        """Note that a thread without an environment reads that of the process."""
        self._mixed = self._mixed or thread not in self._before

    def complaint(self) -> str:
        """Why the value is not to be stored, if it is not."""
        if not self._mixed:
            return ""
        return (
            "while it was built, a thread that began meanwhile read the environment of the process, which is another; "
            "threads get that of their caller with contextvars.copy_context().run, or by larder.use"
        )


@contextmanager
def pinned(environment: Environment | None) -> Iterator[Pinned | None]:
    """What is called in this block is a build in an environment. None if threads cannot mistake it."""
    if environment is None or environment is _Process.environment:
        yield None
        return
    pin = Pinned()
    Pinned.running.append(pin)
    try:
        yield pin
    finally:
        Pinned.running.remove(pin)


def env() -> Environment:
    """The environment of this thread or task, or else of the process. Raises NotInitialised."""
    environment = _current()
    if Pinned.running and _own.get() is None:
        for pin in list(Pinned.running):
            pin.note(threading.current_thread())
    if environment is None:
        raise NotInitialised(
            "there is no environment: call larder.init(env_date=...) first, in each process; a session that was begun in "
            "another thread or task than the main one is not seen here"
        )
    return environment


def to_carry() -> tuple[Environment | None, bool]:
    """The environment that a function which is pickled here takes to a worker, and whether another may be meant.

    dask, joblib and pools pickle in a thread of their own, maybe after ``larder.init`` was called again. Such a thread may
    have inherited what was the process's environment when it began.
    """
    own, here = _own.get(), threading.get_ident()
    if own is None or (own.process and own.thread != here):
        return _Process.environment, _Process.had_others
    is_old = own.process and own.environment is not _Process.environment
    return own.environment, _Process.had_others and (is_old or own.thread != here)


def is_initialised() -> bool:
    """Reports whether there is an environment for this thread or task."""
    return _current() is not None


def de_init() -> None:
    """End the session of this thread or task, if there is one, and close its idle connections.

    In the main thread it ends that of the process.
    """
    environment = _current()
    _set(None)
    if environment is not None:
        environment.client.close()
