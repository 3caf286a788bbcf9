"""The tutorial runs as it is written, against three nodes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Node

URL = "http://127.0.0.1:8081,http://127.0.0.1:8082,http://127.0.0.1:8083"


def scripts(folder: Path) -> dict[str, Path]:
    """The tutorial's scripts, by name: what stands in its blocks, in order."""
    text = (ROOT / "docs" / "tutorial.md").read_text()
    found: dict[str, str] = {}
    for name, code in re.findall(r"^```python (\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        found[name] = found.get(name, "") + code
    paths = {name: folder / f"{name}.py" for name in found}
    for name, path in paths.items():
        path.write_text(found[name])
    return paths


def test_tutorial(cluster: list[Node], tmp_path: Path) -> None:
    paths = scripts(tmp_path)
    url = ",".join(n.url for n in cluster)
    environment = {**os.environ, "LARDER_URL": url, "LARDER_SIGNING_KEY": "a-key-of-the-whole-group"}
    printed = {}
    for name in ("build", "use"):
        done = subprocess.run([sys.executable, "-W", "error", paths[name]], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        printed[name] = done.stdout
    print(*printed.values(), sep="")
    built = re.search(r"built four strategies in ([\d.]+) s", printed["build"])
    got = re.search(r"got four strategies in (\d+) ms", printed["use"])
    assert built
    assert got
    assert re.search(r"^AAPL REINV STRATEGY\|2022-01-30T00:00:00\+00:00\|\|[0-9a-f]{32}$", printed["build"], re.MULTILINE)


def test_tutorial_names_the_cluster_of_make() -> None:
    assert URL in (ROOT / "docs" / "tutorial.md").read_text()
    assert 'http() { echo "127.0.0.1:$((8080 + offset + $1))"; }' in (ROOT / "test" / "scripts" / "cluster").read_text()


@pytest.mark.parametrize("text", ["README.md", "../docs/python.md"])
def test_documents_name_what_there_is(text: str) -> None:
    """Each name after 'larder.' in the documents is one of the package's."""
    import larder

    words = set(re.findall(r"\blarder\.([a-zA-Z_]+)", (ROOT / "python" / text).read_text()))
    assert words <= {*larder.__all__, "frame", "compat"}


def test_how_do_i(node: Node, tmp_path: Path) -> None:
    """The examples of the reference run, one after the other."""
    blocks = re.findall(r"^```python how\n(.*?)^```$", (ROOT / "docs" / "python.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 6
    script = tmp_path / "how.py"
    script.write_text("\n".join(blocks))
    environment = {**os.environ, "LARDER_URL": node.url, "LARDER_SIGNING_KEY": "a-key-of-the-whole-group"}
    done = subprocess.run([sys.executable, "-W", "error", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "2 keys, " in done.stdout
    assert "put 'DAX': an object of " in done.stdout


def test_reference_has_the_vectors() -> None:
    from tests import test_envhash, test_frame

    reference = (ROOT / "docs" / "python.md").read_text()
    vectors = [text for _, text in (*test_envhash.VECTORS, *test_frame.VECTORS)]
    assert [text for text in vectors if f"`{text}`" not in reference] == []


def test_notebook(cluster: list[Node]) -> None:
    """The example's cells, as a kernel runs them: in __main__, one after the other."""
    cells = json.loads((ROOT / "examples" / "notebook.ipynb").read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    environment = {**os.environ, "LARDER_URL": ",".join(n.url for n in cluster), "LARDER_SIGNING_KEY": "a-key-of-the-whole-group"}
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "[0, 1, 4, 9, 16] after" in done.stdout
