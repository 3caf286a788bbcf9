"""With a signing key, nothing is unpickled that is not signed for its place."""

from __future__ import annotations

import pickle
import urllib.request
import warnings
from pathlib import Path
from typing import Any

import pytest
from xxhash import xxh3_128

import larder
from tests.conftest import Node

KEY = "0123456789abcdef-secret"


class Bomb:
    """Notes when it is unpickled."""

    went_off = False

    def __reduce__(self) -> Any:
        return Bomb.explode, ()

    @staticmethod
    def explode() -> str:
        Bomb.went_off = True
        return "boom"


@pytest.fixture(autouse=True)
def defused() -> None:
    Bomb.went_off = False


def of(node: Node, **options: Any) -> larder.ObjectService:
    return larder.ObjectService(larder.Client(node.url, **options))


def test_signed_is_read(node: Node) -> None:
    signed = of(node, signing_key=KEY)
    signed.put("signed", Bomb())
    assert signed.get("signed") == "boom"
    assert of(node, signing_key=["a-newer-key-of-ours", KEY]).get("signed") == "boom"


def test_unsigned_altered_and_transplanted_are_refused(node: Node) -> None:
    signed, unsigned = of(node, signing_key=KEY), of(node)
    unsigned.put("unsigned", Bomb())
    signed.put("signed", Bomb())
    Bomb.went_off = False  # who puts a small pickle reads it back first
    data = signed.get_raw("signed")
    unsigned.put_raw("transplanted", data)
    for i in range(0, len(data), 7):
        altered = bytearray(data)
        altered[i] ^= 1
        unsigned.put_raw("altered", bytes(altered))
        with pytest.raises((larder.IntegrityError, larder.DecodeError)):
            signed.get("altered")
    for key in ("unsigned", "transplanted"):
        with pytest.raises(larder.IntegrityError):
            signed.get(key)
    with pytest.raises(larder.IntegrityError):
        of(node, signing_key="another-key-entirely").get("signed")
    unsigned.put_raw("pickle", pickle.dumps(Bomb()))
    with pytest.raises(larder.NotAFrame):
        signed.get("pickle")
    assert not Bomb.went_off


def test_pickles_can_be_refused(node: Node) -> None:
    of(node).put("bomb", Bomb())
    of(node).put("plain", {"a": 1})
    Bomb.went_off = False
    careful = of(node, allow_pickle=False)
    with pytest.raises(larder.DecodeError, match="allow_pickle"):
        careful.get("bomb")
    assert careful.get("plain") == {"a": 1}
    assert not Bomb.went_off


def test_warns_once_without_a_key(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("larder.client._Warned.of_pickles", False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        objects = of(node)
        objects.put("x", 1)
        objects.get("x")
        of(node).get("x")
        of(node, signing_key=KEY).put("x", 1)
    assert [str(w.message).partition(":")[0] for w in caught] == ["no signing key is set"]
    assert caught[0].filename == __file__


def test_keys_of_the_environment(node: Node, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{KEY}\n\nan-older-key-of-ours\n")
    file.chmod(0o600)
    monkeypatch.setenv("LARDER_SIGNING_KEY_FILE", str(file))
    of(node).put("by file", 1)
    monkeypatch.setenv("LARDER_SIGNING_KEY", KEY)
    assert of(node).get("by file") == 1
    monkeypatch.setenv("LARDER_SIGNING_KEY", "short")
    with pytest.raises(larder.ConfigError, match="at least 16"):
        larder.Client()


def test_secrets_are_not_shown(node: Node) -> None:
    client = larder.Client(node.url, token="tok-secret", signing_key=KEY)
    env = larder.init("2022-01-30", client=client)
    texts = [repr(client), client._repr_html_(), repr(env), env._repr_html_(), repr(env.object_service()), repr(env.strategy_service())]
    texts += [repr(client._config), str(vars(client))]
    assert not [t for t in texts if "secret" in t]
    with pytest.raises(larder.ConfigError, match="LARDER_TOKEN"):
        pickle.dumps(client)


def test_digest_beside_a_frame(node: Node, objects: larder.ObjectService) -> None:
    """The head of one version and the body of another do not go together."""
    objects.put("beside", [1])
    body = objects.get_raw("beside")
    digest = xxh3_128(body[:-16]).hexdigest()
    assert objects.info("beside").meta["digest"] == digest
    for stated, good in ((digest, True), ("", True), ("00" * 16, False)):
        headers = {"Larder-Meta-Digest": stated} if stated else {}
        request = urllib.request.Request(f"{node.url}/v1/objects/beside", body, headers, method="PUT")
        urllib.request.urlopen(request).close()
        if good:
            assert objects.get("beside") == [1]
        else:
            with pytest.raises(larder.IntegrityError, match="not those that were written"):
                objects.get("beside")
