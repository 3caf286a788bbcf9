"""Frames: read what was written, and nothing else."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_128

from larder import errors, frame
from larder.frame import Place, Segment

PLACE = Place("acme", "objects", "DAX")
KEY, OTHER = b"k" * 32, b"o" * 32
VECTORS: list[tuple[bytes | None, str]] = [  # of docs/python.md
    (None, "78f03dd41f7d6bb9cdc310987e026fed"),
    (b"0123456789abcdef", "e0aedf28f7ece24a8ea2686d624d52f016925feebde60e42d4eb87f04cf1f3b1"),
]


def sealed(signing_key: bytes | None = None, place: Place = PLACE, body: bytes = b"hello") -> bytes:
    made = frame.seal({"format": "bytes"}, [Segment(body, len(body)), Segment(b"more", 4)], place, signing_key)
    data = b"".join(made.parts)
    assert len(data) == made.size
    return data


def read(data: bytes, *keys: bytes, place: Place = PLACE, **options: Any) -> frame.Frame:
    return frame.read(io.BytesIO(data), len(data), place, keys, **options)


@pytest.mark.parametrize(("signing_key", "seal"), VECTORS)
def test_bytes_of_a_frame(signing_key: bytes | None, seal: str) -> None:
    """The vectors of docs/python.md, for readers in other languages."""
    made = frame.seal({"format": "text"}, [Segment(b"hi", 2)], PLACE, signing_key)
    data = b"".join(made.parts)
    header = b'{"format":"text","segments":[{"size":2,"raw":2,"codec":""}]}'
    content = b"\x89LARDER\n\x02" + bytes([signing_key is not None, 0, 0]) + len(header).to_bytes(4, "little") + header + b"hi"
    assert data == content + bytes.fromhex(seal)
    assert made.digest == (blake3(content) if signing_key else xxh3_128(content)).digest()
    assert made.sha256 == hashlib.sha256(data).digest()


@pytest.mark.parametrize("key", [None, KEY])
def test_reads_what_was_written(key: bytes | None) -> None:
    got = read(sealed(key), *([key] if key else []))
    assert got.header == {"format": "bytes"}
    assert [bytes(s.data) for s in got.segments] == [b"hello", b"more"]
    assert got.signed == bool(key)


def test_any_of_several_keys_verifies() -> None:
    assert read(sealed(OTHER), KEY, OTHER).signed


@given(st.data())
def test_no_altered_byte_is_read(data: st.DataObject) -> None:
    for key in (None, KEY):
        good = sealed(key)
        at = data.draw(st.integers(0, len(good) - 1))
        bad = bytearray(good)
        bad[at] ^= data.draw(st.integers(1, 255))
        with pytest.raises((errors.DecodeError, errors.IntegrityError)):
            read(bytes(bad), *([key] if key else []))


@given(st.data())
def test_no_part_is_read(data: st.DataObject) -> None:
    good = sealed(KEY)
    end = data.draw(st.integers(0, len(good) - 1))
    with pytest.raises((errors.DecodeError, errors.IntegrityError)):
        read(good[:end], KEY)
    with pytest.raises((errors.DecodeError, errors.IntegrityError)):
        read(good + good[:1], KEY)
    with pytest.raises(EOFError):
        frame.read(io.BytesIO(good[:end]), len(good), PLACE, [KEY])


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    for start in (b"", b"\x89LARDER\n\x02\x00\x00\x00"):
        with pytest.raises((errors.DecodeError, errors.IntegrityError)):
            read(start + data)


@pytest.mark.parametrize("place", [Place("acme", "objects", "DAX2"), Place("acme", "strategies", "DAX"), Place("acm", "eobjects", "DAX")])
def test_transplanted(place: Place) -> None:
    with pytest.raises(errors.IntegrityError, match="another place"):
        read(sealed(KEY, place), KEY)


def test_wrong_key_and_no_signature() -> None:
    with pytest.raises(errors.IntegrityError, match="another key"):
        read(sealed(OTHER), KEY)
    with pytest.raises(errors.IntegrityError, match="is not signed"):
        read(sealed(), KEY)
    stripped = bytearray(sealed(KEY))
    stripped[9] = 0  # the flag
    with pytest.raises((errors.DecodeError, errors.IntegrityError)):
        read(bytes(stripped), KEY)


def test_digest_beside_a_frame() -> None:
    with pytest.raises(errors.IntegrityError, match="digest"):
        read(sealed(), digest=bytes(32))


def test_not_a_frame() -> None:
    with pytest.raises(errors.NotAFrame, match="get_raw"):
        read(b"x" * 100)


@pytest.mark.parametrize(("version", "advice"), [(1, "have it written again"), (3, "install a newer one")])
def test_other_versions(version: int, advice: str) -> None:
    with pytest.raises(errors.DecodeError, match=advice):
        read(frame.MAGIC + bytes([version]) + bytes(100))


def test_sizes_beyond_the_frame_take_no_memory() -> None:
    huge = frame.seal({}, [Segment(b"hello", 5)], PLACE, None)
    parts = b"".join(huge.parts).replace(b'"size":5', b'"size":9')
    with pytest.raises((errors.DecodeError, errors.IntegrityError)):
        read(parts)
