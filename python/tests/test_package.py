"""The wheel: what it says of itself, and that it is all that is needed."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import larder

PYTHON = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(PYTHON)], check=True)
    (made,) = folder.iterdir()
    return made


def test_metadata(wheel: Path) -> None:
    assert wheel.name == f"larder_cache-{larder.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as files:
        names = files.namelist()
        about = Parser().parsestr(files.read(next(n for n in names if n.endswith("METADATA"))).decode())
    assert about["Name"] == "larder-cache"
    assert about["License-Expression"] == "Apache-2.0"
    assert set(about.get_all("Provides-Extra") or []) == {"all", "cloudpickle", "progress"}
    assert "larder/py.typed" in names
    assert {n.partition("/")[0].partition("-")[0] for n in names} == {"larder", "larder_cache"}


def test_in_an_environment_of_its_own(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True)
    # What the wheel depends on is taken from this environment, whose own larder a line of a .pth file does not bring along.
    site = Path(
        subprocess.run(
            [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True, check=True
        ).stdout.strip()
    )
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    script = "import larder, importlib.metadata as m; print(larder.__file__); print(m.version('larder-cache'))"
    said = subprocess.run([str(python), "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path).stdout.split()
    assert said == [str(site / "larder" / "__init__.py"), larder.__version__]
    command = [str(tmp_path / "venv" / "bin" / "larder"), "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == f"larder {larder.__version__}\n"
