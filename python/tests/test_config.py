"""What a client is told."""

from __future__ import annotations

import json
import pickle
import subprocess
from pathlib import Path
from typing import Any

import pytest

import larder
from larder.config import parse_nodes
from tests.conftest import Node, StartNode


def test_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [str(n) for n in parse_nodes(None)] == ["http://127.0.0.1:8080"]
    monkeypatch.setenv("LARDER_URL", "http://a:1, https://b/larder/ ,http://[::1]:2")
    assert [str(n) for n in parse_nodes(None)] == ["http://a:1", "https://b:443/larder", "http://[::1]:2"]


@pytest.mark.parametrize(
    "url",
    [
        "a:8080",
        "ftp://a",
        "http://",
        "http://a:port",
        "http://a?b",
        "http://a b",
        "http://a/\x00",
        " , ",
        "http://u:secret@a",
        "http://a/v1/",
        "http://a/v1/objects",
        "http://a/prefix/v1/strategies/",
        "http://[::1",
        "http://[x]",
        "http://a]",
        "http://a:99999",
        "http://a:0",
        "http://a..b",
        "http://" + "a" * 64,
    ],
)
def test_bad_url(url: str) -> None:
    with pytest.raises(larder.ConfigError, match="LARDER_URL") as caught:
        larder.Client(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan"), None, "3"])
def test_bad_timeout(seconds: Any) -> None:
    with pytest.raises(larder.ConfigError, match=r"^timeout is a number of seconds"):
        larder.Client(timeout=seconds)
    with pytest.raises(larder.ConfigError, match=r"^connect_timeout is a number of seconds"):
        larder.Client(connect_timeout=seconds)


@pytest.mark.parametrize("retries", [-1, 1.5, None, "3"])
def test_bad_retries(retries: Any) -> None:
    with pytest.raises(larder.ConfigError, match=r"^retries is a whole number"):
        larder.Client(retries=retries)


@pytest.mark.parametrize("kind", [5, [5], {"http://a"}, object()])
def test_settings_of_no_use(kind: Any) -> None:
    with pytest.raises(larder.ConfigError, match=r"^a url is text"):
        larder.Client(url=kind)
    with pytest.raises(larder.ConfigError, match=r"^a signing key is text or bytes"):
        larder.Client(signing_key=kind)
    with pytest.raises(larder.ConfigError, match=r"^client is a larder\.Client"):
        larder.init("2022-01-30", client=kind)


def test_bad_token() -> None:
    with pytest.raises(larder.ConfigError, match="LARDER_TOKEN") as caught:
        larder.Client(token="two\nsecrets")
    assert "secrets" not in str(caught.value)


def test_client_travels_without_its_secrets(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARDER_TOKEN", "tok-secret")
    client = larder.Client(node.url, allow_pickle=False, retries=1)
    data = pickle.dumps(client)
    assert b"secret" not in data
    assert pickle.loads(data)._config == client._config


def test_signing_key_file_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LARDER_SIGNING_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(larder.ConfigError, match="LARDER_SIGNING_KEY_FILE"):
        larder.Client()


def test_tokens(start_node: StartNode, binary: Path, tmp_path: Path) -> None:
    tokens: dict[tuple[str, str], str] = {}
    entries = []
    for org, role in (("acme", "writer"), ("acme", "reader"), ("other", "writer")):
        words = [str(binary), "token", "--org", org, "--user", f"{org}-{role}", "--role", role]
        made = subprocess.run(words, capture_output=True, check=True, text=True)
        tokens[org, role] = made.stdout.strip()
        entries.append(json.loads(made.stderr.splitlines()[-1].removeprefix("- ")))
    file = tmp_path / "tokens"
    file.write_text(json.dumps(entries))
    node = start_node("--tokens-file", str(file))

    def of(org: str, role: str) -> larder.ObjectService:
        return larder.ObjectService(larder.Client(node.url, tokens[org, role], signing_key="a-key-of-both-orgs"))

    of("acme", "writer").put("x", (1, 2))
    assert of("acme", "reader").get("x") == (1, 2)
    assert of("acme", "reader").info("x").writer == "acme-writer"
    with pytest.raises(larder.AuthError, match="may only read"):
        of("acme", "reader").put("x", 1)
    with pytest.raises(larder.NotFound):
        of("other", "writer").get("x")
    of("other", "writer").put_raw("x", of("acme", "reader").get_raw("x"))
    with pytest.raises(larder.IntegrityError, match="another place"):
        of("other", "writer").get("x")
    with pytest.raises(larder.AuthError, match="token"):
        larder.Client(node.url, "lrd_wrong").whoami()
