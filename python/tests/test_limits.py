"""What objects and servers say of sizes, and what it costs to believe them."""

from __future__ import annotations

import io
import multiprocessing
import resource
import struct
import subprocess
import sys
from typing import Any

import pytest

import larder
from larder import compress, frame
from larder.errors import DecodeError
from larder.frame import Place, Segment
from tests.conftest import Node
from tests.scripted import served

EMPTY = bytes.fromhex("28b52ffd2000010000")  # a zstd frame of nothing
PLACE = Place("default", "objects", "k")
KINDS = ("bytes", "text", "json", "npy", "pickle")


def framed(segments: list[Segment], kind: str = "bytes") -> bytes:
    return b"".join(map(bytes, frame.seal({"format": kind}, segments, PLACE, None).parts))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("raw", [3 << 30, 1 << 50, 1 << 62, 1 << 64, 1 << 200, 200_000])
@pytest.mark.parametrize("codec", ["zstd", ""])
def test_sizes_that_cannot_be(objects: larder.ObjectService, kind: str, raw: int, codec: str) -> None:
    objects.put_raw("k", framed([Segment(b"head", 4), Segment(EMPTY, raw, codec)], kind))
    with pytest.raises(DecodeError):
        objects.get("k")


def bomb(size: int) -> bytes:
    """A zstd frame of so many zeros, in blocks of one byte that is repeated."""
    block = 128 << 10
    blocks = [struct.pack("<I", (block << 3) | 2)[:3] + b"\0"] * (size // block)
    blocks[-1] = struct.pack("<I", (block << 3) | 3)[:3] + b"\0"
    return b"\x28\xb5\x2f\xfd\x00\x58" + b"".join(blocks)


def test_a_bomb_stops_at_the_limit(node: Node) -> None:
    client = larder.Client(node.url, max_object=16 << 20)
    objects = larder.ObjectService(client)
    objects.put_raw("bomb", framed([Segment(bomb(32 << 20), 32 << 20, "zstd")]))
    with pytest.raises(DecodeError, match=r"max_object"):
        objects.get("bomb")
    assert larder.ObjectService(larder.Client(node.url)).get("bomb") == bytes(32 << 20)
    objects.put_raw("large", bytes(17 << 20))
    with pytest.raises(DecodeError, match=r"LARDER_MAX_OBJECT"):
        objects.get_raw("large")


@pytest.mark.parametrize("kind", ["json", "pandas"])
def test_json_that_becomes_much_more(node: Node, kind: str) -> None:
    """Some hundred bytes of compressed empty dicts would take a gigabyte as Python objects."""
    text = b"[" + b",".join([b"{}"] * (1 << 20)) + b"]"
    larder.ObjectService(larder.Client(node.url)).put_raw(kind, framed([compress.compress(text)], kind))
    with pytest.raises(DecodeError, match=r"would take some \d+ bytes of memory.*max_object"):
        larder.ObjectService(larder.Client(node.url, max_object=16 << 20)).get(kind)
    if kind == "json":
        assert len(larder.ObjectService(larder.Client(node.url, max_object=256 << 20)).get(kind)) == 1 << 20


@pytest.mark.parametrize("mutable", [True, False])
@pytest.mark.parametrize("told", [0, 1, 1000, (1 << 20) - 1, (1 << 20) + 1, 5 << 20])
def test_more_or_less_than_was_said(mutable: bool, told: int) -> None:
    data = compress._compress_block(memoryview(bytes(3 << 20))) + compress._compress_block(memoryview(b"more"))
    with pytest.raises(DecodeError, match=r"larger|smaller"):
        compress.decompress(Segment(data, told, "zstd"), mutable=mutable)
    got = compress.decompress(Segment(data, (3 << 20) + 4, "zstd"), mutable=mutable)
    assert bytes(got) == bytes(3 << 20) + b"more"
    assert memoryview(got).readonly != mutable


@pytest.mark.parametrize("size", [3 << 30, 1 << 62, (1 << 63) - 1])
@pytest.mark.parametrize("call", ["get", "get_raw", "whoami", "keys"])
def test_a_body_that_is_announced(size: int, call: str) -> None:
    def giant(h: Any) -> None:
        h.send_response(200)
        for name, value in (("Larder-Request", "r"), ("Content-Type", "application/json"), ("Content-Length", str(size))):
            h.send_header(name, value)
        h.end_headers()
        h.wfile.write(b" " * 200)
        h.close_connection = True

    with served() as (url, handler), larder.Client(url, retries=0, max_object=1 << 63) as client:
        objects = larder.ObjectService(client)
        handler.script += [giant] * 2
        calls: dict[str, Any] = {"whoami": client.whoami, "keys": objects.keys}
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(larder.LarderError):
            calls.get(call, lambda: getattr(objects, call)("k"))()
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + (200 << 10)  # KiB


@pytest.mark.parametrize("call", ["put", "put_raw", "delete", "info"])
@pytest.mark.parametrize("body", ["Content-Length: 4611686018427387904", "Content-Length: 3221225472", "Transfer-Encoding: chunked"])
def test_a_body_that_nobody_reads(call: str, body: str) -> None:
    """An answer whose head says all is not read for the sake of its body."""

    def endless(h: Any) -> None:
        h.send_response(204 if call == "delete" else 200)
        for name, value in (("Larder-Request", "r"), ("ETag", '"e"'), body.split(": ")):
            h.send_header(name, value)
        h.end_headers()
        try:
            for _ in range(4000):
                h.wfile.write(b"10000\r\n" + bytes(1 << 16) + b"\r\n")
        except OSError:
            pass
        h.close_connection = True

    with served() as (url, handler), larder.Client(url, retries=0) as client:
        objects = larder.ObjectService(client)
        handler.script.append(endless)
        calls: dict[str, Any] = {"put": lambda: objects.put("k", 1), "put_raw": lambda: objects.put_raw("k", b"v")}
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        calls.get(call, lambda: getattr(objects, call)("k"))()
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + (100 << 10)  # KiB


def test_memory_is_taken_as_bytes_come() -> None:
    """Nothing is set to zero first: of 8 GiB that are announced, two pages come, and the connection ends."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for take in (frame.fill_bytes, frame.writable):
        source = io.BytesIO(bytes(8192))
        with pytest.raises((EOFError, DecodeError)):
            take(8 << 30, source.readinto)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + (200 << 10)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("size", [1000, 5 << 20])
def test_what_a_child_changes_is_the_childs(size: int) -> None:
    data = frame.writable(size, io.BytesIO(bytes(size)).readinto)

    def change() -> None:
        memoryview(data)[0] = 1

    child = multiprocessing.get_context("fork").Process(target=change)
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert memoryview(data)[0] == 0


@pytest.mark.parametrize("size", [0, 1, 8191, 8192, 8193, 100_000, (1 << 20) + 1])
@pytest.mark.parametrize("piece", [1000, 8192, 1 << 20])
def test_memory_that_is_filled_by_pieces(size: int, piece: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    for take in (frame.fill_bytes, frame.writable):
        source = io.BytesIO(data)
        assert bytes(take(size, lambda view, source=source: source.readinto(view[:piece]))) == data[:size]  # type: ignore[misc]
        assert source.tell() == size


def test_large_chunked_body_stops_at_the_limit() -> None:
    def endless(h: Any) -> None:
        h.send_response(200)
        h.send_header("Larder-Request", "r")
        h.send_header("Transfer-Encoding", "chunked")
        h.end_headers()
        try:
            while True:
                h.wfile.write(b"10000\r\n" + bytes(1 << 16) + b"\r\n")
        except OSError:
            h.close_connection = True

    with served() as (url, handler), larder.Client(url, max_object=4 << 20) as client:
        handler.script += [endless] * 2
        for call in (client.load_raw, client.load):
            with pytest.raises(DecodeError, match="max_object"):
                call("objects", "k")


@pytest.mark.parametrize("max_object", [0, -1, 1.5, "5"])
def test_bad_limits(max_object: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(larder.ConfigError, match="max_object"):
        larder.Client(max_object=max_object)
    monkeypatch.setenv("LARDER_MAX_OBJECT", "much")
    with pytest.raises(larder.ConfigError, match="LARDER_MAX_OBJECT"):
        larder.Client()


def test_decorated_functions_run_all_the_same(objects: larder.ObjectService) -> None:
    larder.init("2022-01-30", client=objects._client)
    build = larder.object_service_cache("bomb")(lambda: "built")
    objects.put_raw(build.key(), framed([Segment(EMPTY, 1 << 64, "zstd")]))
    with pytest.warns(larder.LarderWarning, match="is called"):
        assert build() == "built"


@pytest.mark.parametrize("when", ["atexit.register(save)", "threading.Thread(target=late).start()"])
def test_large_values_can_be_put_while_the_interpreter_ends(node: Node, when: str) -> None:
    program = f"""
import atexit, threading, larder
objects = larder.init("2022-01-30").object_service()
def save():
    objects.put("at the end", b"x" * (17 << 20))
    print("stored")
def late():
    threading.main_thread().join()
    save()
{when}
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env={"LARDER_URL": node.url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("stored\n", "")
