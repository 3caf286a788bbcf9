"""The command ``larder``: what is in the cache, from a shell. Settings are those of the client's variables."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import larder
from larder import transfer
from larder.building import builds_of
from larder.client import OBJECTS, STRATEGIES, Client
from larder.listing import Keys, human_size
from larder.service import Service

_USAGE, _REFUSED, _UNAVAILABLE, _OTHER = 2, 3, 4, 5
_CODES = """\
exit codes: 0 done, 1 there is no such key, or a check failed, 2 wrong usage or settings,
3 refused (token, role, signature), 4 no node could serve, 5 anything else

settings: LARDER_URL, LARDER_TOKEN, LARDER_SIGNING_KEY, and others of docs/python.md"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        with Client(allow_pickle=False, progress=None if sys.stderr.isatty() and not options.json else False) as client:
            code: int = options.run(client, options)
            sys.stdout.flush()
            return code
    except larder.LarderError as error:
        print(f"larder: {error}", file=sys.stderr)
        return _code(error)
    except BrokenPipeError:  # who reads what we write has enough, as head does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"larder: {error.strerror}: {error.filename}" if error.filename else f"larder: {error}", file=sys.stderr)
        return _OTHER
    except KeyboardInterrupt:
        return 130


def _code(error: larder.LarderError) -> int:
    if isinstance(error, larder.PartialError):
        return max(map(_code, error.failed.values()))
    kinds: list[tuple[tuple[type[larder.LarderError], ...], int]] = [
        ((larder.NotFound,), 1),
        ((larder.ConfigError, larder.BadRequest), _USAGE),
        ((larder.AuthError, larder.IntegrityError), _REFUSED),
        ((larder.Unavailable,), _UNAVAILABLE),
    ]
    return next((code for classes, code in kinds if isinstance(error, classes)), _OTHER)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="larder",
        description="What your organisation keeps in Larder.",
        epilog=_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"larder {larder.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[Client, argparse.Namespace], int], about: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=about, description=about)
        made.add_argument("--json", action="store_true", help="print JSON")
        made.add_argument("--service", choices=(OBJECTS, STRATEGIES), default=OBJECTS, help="default: objects")
        made.set_defaults(run=run)
        return made

    ls = command("ls", _ls, "list the keys that begin with a prefix")
    ls.add_argument("prefix", nargs="?", default="")
    ls.add_argument("-l", "--long", action="store_true", help="with size and time")
    command("info", _info, "show what is known of a key").add_argument("key")
    cp = command("cp", _cp, "copy a file to or from the cache, or one key to another; - is standard input or output")
    cp.add_argument("source", help="a file, or larder:KEY")
    cp.add_argument("target", help="a file, or larder:KEY")
    cp.add_argument("--raw", action="store_true", help="the bytes that are stored, whatever they are")
    cp.add_argument("--content-type", help="of a file that is stored; default: by its name")
    rm = command("rm", _rm, "remove keys, or all that begin with a prefix")
    rm.add_argument("key", nargs="*")
    rm.add_argument("--prefix", help="remove all keys that begin so; needs --yes")
    rm.add_argument("--yes", action="store_true", help="do it; without it the keys are listed only")
    du = command("du", _du, "count keys and bytes by the parts of keys")
    du.add_argument("prefix", nargs="?", default="")
    du.add_argument("--depth", type=int, default=1, help="how many parts, between slashes; default: 1")
    who = command("who", _who, "show whose token this is, or who wrote a key")
    who.add_argument("key", nargs="?")
    builds = command("builds", _builds, "show what is being built, by whom, and for how long")
    builds.add_argument("prefix", nargs="?", default="")
    command("check", _check, "check the settings, and that each node answers")
    return parser


def _print(options: argparse.Namespace, value: Any, lines: Sequence[str]) -> None:
    if options.json:
        print(json.dumps(value, ensure_ascii=False, default=str))
        return
    for line in lines:
        print(line.translate(_CONTROL))


_CONTROL = {n: f"\\x{n:02x}" for n in (*range(32), *range(127, 160))}  # a key must not steer the terminal


def _ls(client: Client, options: argparse.Namespace) -> int:
    entries = client.list(options.service, options.prefix).entries
    found = [{"key": e.key, "size": e.size, "etag": e.etag, "modified": e.modified.isoformat()} for e in entries]
    long = [f"{human_size(e.size):>10}  {e.modified:%Y-%m-%d %H:%M:%SZ}  {e.key}" for e in entries]
    _print(options, found, long if options.long else [e.key for e in entries])
    return 0


def _info(client: Client, options: argparse.Namespace) -> int:
    info = client.stat(options.service, options.key)
    about = {
        **vars(info),
        "libraries": dict(info.libraries),
        "meta": dict(info.meta),
        "modified": info.modified.isoformat(),
    }
    libraries = " ".join(f"{name} {version}" for name, version in info.libraries.items())
    shown = {**about, "size": f"{info.size} ({human_size(info.size)})", "libraries": libraries, "meta": ""}
    _print(options, about, [f"{name + ':':15} {value}" for name, value in shown.items() if value not in ("", None)])
    return 0


def _cp(client: Client, options: argparse.Namespace) -> int:
    source, target = transfer.key_of(options.source), transfer.key_of(options.target)
    if source is None and target is None:
        raise larder.BadRequest("cp needs a key: write it as larder:KEY, for example 'larder cp prices.csv larder:prices.csv'")
    if source is None:
        size = transfer.upload(client, options.service, options.source, str(target), options.content_type)
    elif target is None:
        size = transfer.download(client, options.service, source, options.target, raw=options.raw)
    else:
        service = Service(client, options.service)
        service.copy(source, target)
        size = service.info(target).size
    if options.target != "-":
        _print(options, {"source": options.source, "target": options.target, "bytes": size}, [])
    return 0


def _rm(client: Client, options: argparse.Namespace) -> int:
    if bool(options.key) == (options.prefix is not None) or options.prefix == "":
        raise larder.BadRequest("rm needs keys, or --prefix with a text that is not empty")
    if options.prefix:
        keys = [] if options.yes else client.list(options.service, options.prefix)
        found = Service(client, options.service).remove_by_prefix(options.prefix, dry_run=not options.yes, ask=False)
        _print(options, {"removed": found.count, "bytes": found.bytes} if options.yes else {"would_remove": keys}, keys)
        print(f"larder: {found}" + ("" if options.yes else "; say --yes to do it"), file=sys.stderr)
        return 0
    missing = []
    for key in options.key:
        try:
            client.remove(options.service, key)
        except larder.NotFound:
            missing.append(key)
            print(f"larder: there is no {key!r}".translate(_CONTROL), file=sys.stderr)
    _print(options, {"removed": [k for k in options.key if k not in missing], "missing": missing}, [])
    return 1 if missing else 0


def _du(client: Client, options: argparse.Namespace) -> int:
    found: Keys = client.list(options.service, options.prefix)
    parts: dict[str, list[int]] = {}
    for e in found.entries:
        pieces = e.key.split("/")
        group = "/".join(pieces[: options.depth]) + ("/" if len(pieces) > options.depth else "")
        count = parts.setdefault(group, [0, 0])
        count[0], count[1] = count[0] + 1, count[1] + e.size
    total = sum(e.size for e in found.entries)
    rows = sorted(parts.items(), key=lambda item: -item[1][1])
    about = {"keys": len(found), "bytes": total, "parts": [{"prefix": p, "keys": n, "bytes": b} for p, (n, b) in rows]}
    lines = [f"{human_size(b):>10} {n:>8}  {p}" for p, (n, b) in rows]
    _print(options, about, [*lines, f"{human_size(total):>10} {len(found):>8}  in all"])
    return 0


def _who(client: Client, options: argparse.Namespace) -> int:
    if options.key is not None:
        writer = client.stat(options.service, options.key).writer
        _print(options, {"key": options.key, "writer": writer}, [writer or "not known"])
        return 0
    found = client.whoami()
    _print(options, found, [f"{name + ':':6} {value}" for name, value in found.items()])
    return 0


def _builds(client: Client, options: argparse.Namespace) -> int:
    found = list(builds_of(client, options.service, options.prefix))
    about = [{**vars(b), "since": b.since.isoformat() if b.since else None} for b in found]
    _print(options, about, [str(b) for b in found])
    return 0


def _check(client: Client, options: argparse.Namespace) -> int:
    checks = transfer.check(client)
    lines = [f"{'ok  ' if c['ok'] else 'FAIL'}  {c['what']}: {c['text']}" for c in checks]
    _print(options, checks, lines)
    return 0 if all(c["ok"] for c in checks) else 1
