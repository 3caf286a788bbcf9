"""Where settings and tokens come from, and when they are read again."""

from __future__ import annotations

import logging
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import larder
from larder import credentials
from larder.claims import Visit
from tests.scripted import Scripted, answer, lines, problem, served

EXPIRED = problem(401, "expired-credential")
TAKEN = answer(201)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Scripted]]:
    with served() as (url, handler):
        monkeypatch.setenv("LARDER_URL", url)
        yield handler


def sent(handler: type[Scripted]) -> list[str]:
    return [(token or "").removeprefix("Bearer ") for token in handler.tokens]


def test_a_token_file_that_changes(server: type[Scripted], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    monkeypatch.setenv("LARDER_TOKEN_FILE", str(file))
    server.script += [TAKEN, TAKEN, EXPIRED, TAKEN, EXPIRED]
    with larder.Client() as client:
        objects = larder.ObjectService(client)
        objects.put_raw("k", b"")
        file.write_text("another\n")
        objects.put_raw("k", b"")
        assert sent(server) == ["first", "another"]
        with pytest.raises(larder.AuthError):
            objects.put_raw("k", b"")
        assert len(server.seen) == 3
        assert "another" not in repr(client) + repr(client._config) + pickle.dumps(client).decode("latin-1")
        file.unlink()
        objects.put_raw("k", b"")
        assert sent(server)[2:] == ["another"] * 2
        with pytest.raises(larder.ConfigError, match="LARDER_TOKEN_FILE"):
            objects.put_raw("k", b"")


@pytest.mark.parametrize("state", ["", "ab", None])
def test_a_token_that_is_being_written(server: type[Scripted], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, state: str | None) -> None:
    """Its file is empty, has half of it, or is not there: the last one counts, and when it is refused the new one is waited for."""
    file, config = tmp_path / "token", tmp_path / "config.toml"
    file.write_text("first")
    config.write_text(f'token_file = "{file}"')
    monkeypatch.setenv("LARDER_CONFIG", str(config))

    def refuse(h: Scripted) -> None:
        EXPIRED(h)
        for path, text in ((config, f'token_file = "{file}"'), (file, "second")):
            path.write_text(text)

    with larder.Client() as client:
        for path in (file, config):
            path.unlink() if state is None else path.write_text(state)
        server.script += [refuse, TAKEN]
        larder.ObjectService(client).put_raw("k", b"")
    assert sent(server) == ["ab" if state else "first", "second"]


def test_a_token_that_is_replaced_while_a_build_is_awaited(server: type[Scripted], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first")
    monkeypatch.setenv("LARDER_TOKEN_FILE", str(file))

    def refuse(h: Scripted) -> None:
        file.write_text("second")
        EXPIRED(h)

    server.script += [refuse, lines('{"event": "unstored"}')]
    with larder.Client() as client:
        event = Visit(client, "objects", "k", {}).wait(lambda _: True)
    assert isinstance(event, dict)
    assert event["event"] == "unstored"
    assert sent(server) == ["first", "second"]


def test_a_configuration_that_is_being_written(
    env: larder.Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, unique: str
) -> None:
    monkeypatch.setenv("LARDER_CONFIG", str(tmp_path / "config.toml"))
    calls: list[int] = []

    @larder.object_service_cache(unique)
    def build() -> int:
        calls.append(1)
        return 5

    assert [build(), build(), len(calls)] == [5, 5, 1]


def test_a_token_that_expires_is_asked_for_once_more(server: type[Scripted]) -> None:
    tokens = iter(["old", "new", "new", "same", "same"])
    server.script += [EXPIRED, TAKEN, EXPIRED, EXPIRED]
    with larder.Client(token=lambda: next(tokens)) as client:
        objects = larder.ObjectService(client)
        objects.put_raw("k", b"")
        with pytest.raises(larder.AuthError):
            objects.put_raw("k", b"")
        assert sent(server) == ["old", "new", "new", "same"]
        with pytest.raises(larder.ConfigError, match="not pickled"):
            pickle.dumps(client)


def test_a_variable_that_is_replaced(server: type[Scripted], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARDER_TOKEN", "old")
    server.script += [EXPIRED, TAKEN]
    with larder.Client() as client:
        monkeypatch.setenv("LARDER_TOKEN", "new")
        larder.ObjectService(client).put_raw("k", b"")
    assert sent(server) == ["old", "new"]


@pytest.mark.parametrize("bad", [lambda: 1 / 0, lambda: None, lambda: "two words", lambda: "a\r\nX: y"])
def test_functions_that_give_no_token(server: type[Scripted], bad: Any) -> None:
    with larder.Client(token=bad) as client, pytest.raises(larder.ConfigError, match="token"):
        client.whoami()
    assert server.seen == []


@pytest.mark.parametrize("kind", [5, b"bytes", ["a"]])
def test_tokens_of_no_use(kind: Any) -> None:
    with pytest.raises(larder.ConfigError, match="a token is text"):
        larder.Client(token=kind)


TOML = 'url = ["http://127.0.0.1:1", "http://127.0.0.1:2"]\ntoken = "lrd_secret"\nsigning_key = "0123456789abcdef"\norg = "acme"\n'
LINES = '# of the team\nexport LARDER_URL="http://127.0.0.1:1,http://127.0.0.1:2"\n\nLARDER_TOKEN=lrd_secret\n' + (
    "LARDER_SIGNING_KEY=0123456789abcdef\nLARDER_ORG = acme\n"
)


@pytest.mark.parametrize(("text", "name"), [(TOML, "config.toml"), (LINES, "config"), (LINES.replace("LARDER_", ""), "config")])
def test_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, name: str) -> None:
    file = tmp_path / "larder" / name
    file.parent.mkdir()
    file.write_text(text)
    file.chmod(0o600)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    by_place = larder.Client()._config
    assert [n.port for n in by_place.nodes] == [1, 2]
    assert (by_place.token.read(), by_place.signing_keys, by_place.org) == ("lrd_secret", (b"0123456789abcdef",), "acme")
    assert "secret" not in repr(by_place)
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("LARDER_CONFIG", str(file))
    assert larder.Client()._config == by_place
    monkeypatch.setenv("LARDER_ORG", "other")
    assert larder.Client()._config.org == "other"
    assert larder.Client(org="third")._config.org == "third"
    file.chmod(0o644)
    with pytest.warns(larder.LarderWarning, match="chmod o-r") as seen:
        larder.Client()
    assert len(seen) == 2  # for the token, and for the signing key


def test_a_file_is_read_again_by_the_next_session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "config"
    monkeypatch.setenv("LARDER_CONFIG", str(file))
    file.write_text("LARDER_URL=http://127.0.0.1:1\n")
    first = larder.init("2022-01-30").client
    assert larder.init("2022-01-31").client is first
    file.write_text("LARDER_URL=http://127.0.0.1:2\n")
    assert "127.0.0.1:2" in repr(larder.init("2022-01-31").client)


@pytest.mark.parametrize(
    "text", ["url: http://a\n", "LARDER_URL=http://a\nno pair\n", "urls = 'http://a'\n", "url = 1.5\n", "LARDER_TOKN=x\n"]
)
def test_files_of_no_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    file = tmp_path / "config"
    monkeypatch.setenv("LARDER_CONFIG", str(file))
    with pytest.raises(larder.ConfigError, match="LARDER_CONFIG"):
        larder.Client()
    file.write_text(text)
    with pytest.raises(larder.ConfigError, match="LARDER_CONFIG"):
        larder.Client()


def test_a_fault_of_toml_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    monkeypatch.setenv("LARDER_CONFIG", str(file))
    file.write_text('url = "http://a"\ntoken = hunter2\n')
    with pytest.raises(larder.ConfigError, match=r"config.toml is not TOML: .* \(at line 2, ") as caught:
        larder.Client()
    assert "hunter2" not in str(caught.value)


def test_a_projected_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("projected")
    monkeypatch.setattr(credentials, "PROJECTED", str(file))
    assert not larder.Client()._config.token
    monkeypatch.setenv("LARDER_URL", "https://larder")
    assert larder.Client()._config.token.read() == "projected"
    monkeypatch.setenv("LARDER_TOKEN", "own")
    assert larder.Client()._config.token.read() == "own"


def test_a_token_in_clear() -> None:
    with pytest.warns(larder.LarderWarning, match=r"http://larder\.internal:80 in clear") as seen:
        larder.Client("http://larder.internal", "lrd_secret")
    assert len(seen) == 1
    assert "secret" not in str(seen[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        larder.Client("http://larder.internal")
        for url in ("https://larder.internal", "http://localhost:1", "http://127.9.9.9:1", "http://[::1]:1"):
            larder.Client(url, "lrd_secret")


def test_the_log_has_a_line_for_each_request(server: type[Scripted], caplog: pytest.LogCaptureFixture) -> None:
    server.script += [answer(201), answer(200, b"v", Cache_Status="larder; hit; detail=peer"), problem(404, "not-found")]
    with caplog.at_level(logging.DEBUG, "larder"), larder.Client(token="lrd_secret") as client:
        objects = larder.ObjectService(client)
        objects.put_raw("DAX", b"v")
        objects.get_raw("DAX")
        with pytest.raises(larder.NotFound):
            objects.get_raw("none")
    lines = [record.getMessage() for record in caplog.records]
    assert [record.levelname for record in caplog.records] == ["DEBUG"] * 3
    assert lines[0].startswith("PUT put 'DAX': 201, ")
    assert " ms, http://127.0.0.1:" in lines[0]
    assert "larder; hit; detail=peer, request request-1" in lines[1]
    assert "404 NotFound" in lines[2]
    assert "secret" not in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO, "larder"), pytest.raises(larder.LarderError):
        larder.Client("http://127.0.0.1:1", retries=0).whoami()
    assert not caplog.records


def test_the_organisation_of_signatures_can_be_pinned(server: type[Scripted]) -> None:
    key = "0123456789abcdef"
    kept: list[bytes] = []

    def keep(h: Scripted) -> None:
        kept.append(h.body)
        TAKEN(h)

    def give(h: Scripted) -> None:
        answer(200, kept[0])(h)

    who = answer(200, b'{"org":"staging","user":"u","role":"writer"}', Content_Type="application/json")
    server.script += [who, keep, give, give]
    larder.ObjectService(larder.Client(signing_key=key)).put("k", "of staging")
    with pytest.raises(larder.IntegrityError, match="another place"):
        larder.ObjectService(larder.Client(signing_key=key, org="acme")).get("k")
    assert larder.ObjectService(larder.Client(signing_key=key, org="staging")).get("k") == "of staging"
    assert server.seen == ["GET", "PUT", "GET", "GET"]
