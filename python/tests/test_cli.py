"""The command line."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import larder
from larder import cli
from tests.conftest import Node, free_ports


@pytest.fixture
def objects(node: Node, monkeypatch: pytest.MonkeyPatch) -> larder.ObjectService:
    monkeypatch.setenv("LARDER_URL", node.url)
    objects = larder.ObjectService(larder.Client())
    for key in objects.keys("cli/"):
        objects.delete(key)
    return objects


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    try:
        got = cli.main(arguments)
    except SystemExit as error:
        got = int(error.code or 0)
    out = capsys.readouterr()
    assert got == code, out
    return out.out, out.err


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    return json.loads(run(capsys, *arguments, "--json")[0])


def test_ls_info_du_who(objects: larder.ObjectService, capsys: pytest.CaptureFixture[str]) -> None:
    objects.put("cli/a/1", np.arange(3))
    objects.put("cli/a/2", "text", build_seconds=1.5)
    objects.put_raw("cli/b", b"x" * 2000, "text/plain")
    assert run(capsys, "ls", "cli/")[0] == "cli/a/1\ncli/a/2\ncli/b\n"
    assert "2.0 KiB" in run(capsys, "ls", "-l", "cli/b")[0]
    assert [e["key"] for e in run_json(capsys, "ls", "cli/a")] == ["cli/a/1", "cli/a/2"]
    assert "build_seconds:  1.5" in run(capsys, "info", "cli/a/2")[0]
    assert run_json(capsys, "info", "cli/b")["size"] == 2000
    about = run_json(capsys, "du", "--depth", "2", "cli/")
    assert about["keys"] == 3
    assert [(p["prefix"], p["keys"]) for p in about["parts"]] == [("cli/b", 1), ("cli/a/", 2)]
    assert "in all" in run(capsys, "du", "cli/")[0]
    assert run_json(capsys, "who") == objects._client.whoami()
    assert run(capsys, "who", "cli/b")[0].strip() == objects.info("cli/b").writer


def test_cp(objects: larder.ObjectService, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "prices.csv"
    file.write_text("a,b\n1,2\n")
    run(capsys, "cp", str(file), "larder:cli/prices.csv")
    assert objects.info("cli/prices.csv").content_type == "text/csv"
    run(capsys, "cp", "larder:cli/prices.csv", str(tmp_path / "again.csv"))
    assert (tmp_path / "again.csv").read_text() == "a,b\n1,2\n"
    run(capsys, "cp", "larder:cli/prices.csv", "larder:cli/copy.csv")
    assert objects.get_raw("cli/copy.csv") == file.read_bytes()
    assert objects.info("cli/copy.csv").content_type == "text/csv"
    objects.put("cli/array", np.arange(10_000))
    run(capsys, "cp", "larder:cli/array", str(tmp_path / "array.npy"))
    np.testing.assert_array_equal(np.load(tmp_path / "array.npy"), np.arange(10_000))
    objects.put("cli/text", "Zürich")
    run(capsys, "cp", "larder:cli/text", str(tmp_path))
    assert (tmp_path / "text").read_text() == "Zürich"
    objects.put("cli/frame", pl.DataFrame({"a": [1]}))
    run(capsys, "cp", "larder:cli/frame", str(tmp_path / "frame.arrows"))
    assert pl.read_ipc_stream(tmp_path / "frame.arrows").equals(pl.DataFrame({"a": [1]}))
    objects.put("cli/pickle", {1, 2})
    assert "--raw" in run(capsys, "cp", "larder:cli/pickle", str(tmp_path / "p"), code=2)[1]
    run(capsys, "cp", "--raw", "larder:cli/pickle", str(tmp_path / "p"))
    assert (tmp_path / "p").read_bytes() == objects.get_raw("cli/pickle")
    assert "larder:KEY" in run(capsys, "cp", "a", "b", code=2)[1]
    assert "No such file" in run(capsys, "cp", str(tmp_path / "none"), "larder:cli/x", code=5)[1]
    assert not [f for f in tmp_path.iterdir() if f.name.startswith("tmp")]


def test_cp_signs_anew(
    node: Node, objects: larder.ObjectService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LARDER_SIGNING_KEY", "k" * 32)
    signing = larder.ObjectService(larder.Client())
    signing.put("cli/signed", {"a", "b"}, build_seconds=2.5)
    run(capsys, "cp", "larder:cli/signed", "larder:cli/moved")
    assert signing.get("cli/moved") == {"a", "b"}
    assert signing.info("cli/moved").build_seconds == 2.5
    objects.put("cli/unsigned", [1])
    assert "is not signed" in run(capsys, "cp", "larder:cli/unsigned", "larder:cli/no", code=3)[1]


def test_pipes(objects: larder.ObjectService, node: Node) -> None:
    command = [sys.executable, "-m", "larder", "cp"]
    environment = {**os.environ, "LARDER_URL": node.url}
    subprocess.run([*command, "-", "larder:cli/piped"], input=b"\x00\xff", check=True, env=environment)
    done = subprocess.run([*command, "larder:cli/piped", "-"], capture_output=True, check=True, env=environment)
    assert done.stdout == b"\x00\xff"


def test_rm(objects: larder.ObjectService, capsys: pytest.CaptureFixture[str]) -> None:
    for n in range(3):
        objects.put(f"cli/rm/{n}", n)
    run(capsys, "rm", "cli/rm/0")
    assert "there is no 'cli/rm/0'" in run(capsys, "rm", "cli/rm/0", code=1)[1]
    assert "say --yes" in run(capsys, "rm", "--prefix", "cli/rm/")[1]
    assert len(objects.keys("cli/rm/")) == 2
    assert run_json(capsys, "rm", "--prefix", "cli/rm/") == {"would_remove": ["cli/rm/1", "cli/rm/2"]}
    assert "2 keys, " in run(capsys, "rm", "--prefix", "cli/rm/", "--yes")[1]
    assert not objects.keys("cli/rm/")
    for wrong in ([], ["--prefix", ""], ["k", "--prefix", "p"]):
        assert "rm needs keys" in run(capsys, "rm", *wrong, code=2)[1]


def test_exit_codes(objects: larder.ObjectService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(capsys, "info", "cli/none", code=1)[1].startswith("larder: info 'cli/none'")
    assert "usage" in run(capsys, "nothing", code=2)[1]
    assert "exit codes" in run(capsys, "--help")[0]
    monkeypatch.setenv("LARDER_URL", "ftp://x")
    assert "LARDER_URL" in run(capsys, "ls", code=2)[1]
    monkeypatch.setenv("LARDER_URL", f"http://127.0.0.1:{free_ports(1)[0]}")
    out, said = run(capsys, "check", code=1)
    assert "FAIL" in out
    assert not said


def test_check(objects: larder.ObjectService, node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    assert "FAIL" not in run(capsys, "check")[0]
    assert {c["what"] for c in run_json(capsys, "check")} >= {"token", "signing key", node.url}


def test_a_key_does_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    cli._print(type("Options", (), {"json": False})(), None, ["a\x1b[2Jb\x9b"])
    assert capsys.readouterr().out == "a\\x1b[2Jb\\x9b\n"


def test_a_reader_that_goes_away(objects: larder.ObjectService, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, text: str, /) -> int:
            raise BrokenPipeError

        def fileno(self) -> int:
            return self.number

        number = os.open(os.devnull, os.O_WRONLY)

    objects.put("cli/x", 1)
    monkeypatch.setattr(sys, "stdout", Gone())
    assert cli.main(["ls", "cli/"]) == 0
    os.close(Gone.number)
