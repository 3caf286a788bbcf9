"""Files to the cache and from it, and whether all is set up, for the command line."""

from __future__ import annotations

import mimetypes
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from larder import compress, frame
from larder.client import Client
from larder.errors import BadRequest, LarderError, NotAFrame
from larder.libraries import here

_PREFIX = "larder:"
_AS_FILES = ("bytes", "text", "json", "npy")  # formats whose segments are a file, one after the other


def key_of(text: str) -> str | None:
    """The key of ``larder:KEY``; None for a file."""
    return text.removeprefix(_PREFIX) if text.startswith(_PREFIX) else None


def upload(client: Client, service: str, path: str, key: str, content_type: str | None) -> int:
    """Store a file, and return its size."""
    data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    kind = content_type or mimetypes.guess_type(path)[0] or "application/octet-stream"
    if kind == frame.CONTENT_TYPE:
        raise BadRequest(f"{kind} is what this client makes of values; copy a key to a key instead")
    client.store_raw(service, key, data, kind)
    return len(data)


def download(client: Client, service: str, key: str, path: str, *, raw: bool) -> int:
    """Write what a key holds into a file, and return its size. Nobody sees a part of the file."""
    try:
        data = client.load_raw(service, key) if raw else _content(client.load_frame(service, key)[0], key)
    except NotAFrame:
        data = client.load_raw(service, key)
    if path == "-":
        sys.stdout.buffer.write(data)
        return len(data)
    target = Path(path)
    if target.is_dir():
        target /= key.rstrip("/").rpartition("/")[2]
    number, name = tempfile.mkstemp(dir=target.parent)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
    return len(data)


def _content(found: frame.Frame, key: str) -> bytes:
    kind = found.header.get("format")
    if kind == "arrow":
        found.segments.pop(0)
    elif kind not in _AS_FILES:
        raise BadRequest(f"{key!r} is a value of the format {kind}, which is no file: get it in Python, or its stored bytes with --raw")
    return b"".join(bytes(compress.decompress(s)) for s in found.segments)


def check(client: Client) -> list[dict[str, Any]]:
    """What is set, and which nodes answer."""
    settings = client.settings
    checks = [_found("token", bool(settings.token), "set", "none; some clusters take none (LARDER_TOKEN)", needed=False)]
    unsigned = "none: whoever can write to the cache can run code on who reads pickles (LARDER_SIGNING_KEY)"
    checks.append(_found("signing key", bool(settings.signing_keys), "set", unsigned, needed=False))
    for module, why in (("cloudpickle", "lambdas, and classes of a notebook"), ("pandas", "DataFrames"), ("pyarrow", "Arrow tables")):
        checks.append(_found(module, here(module) != "none", here(module), f"not installed; needed for {why}", needed=False))
    for node in settings.nodes:
        try:
            with client.of_node(node) as one:
                me = one.whoami()
            checks.append({"what": str(node), "ok": True, "text": f"{me['user']} of {me['org']}, {me['role']}"})
        except LarderError as error:
            checks.append({"what": str(node), "ok": False, "text": str(error)})
    return checks


def _found(what: str, found: bool, yes: str, no: str, *, needed: bool) -> dict[str, Any]:
    return {"what": what, "ok": found or not needed, "text": yes if found else no}
