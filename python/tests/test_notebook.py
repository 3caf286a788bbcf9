"""A real kernel: a cell, a restart, the same cell again."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from jupyter_client.manager import KernelManager

import larder
from tests.conftest import Node

LIMIT = 60.0  # seconds

CELL = """
import dataclasses, enum, larder, warnings
objects = larder.init(env_date="2022-01-30", client=larder.Client("{url}")).object_service()
class Color(enum.Enum): R = 1
@dataclasses.dataclass
class Deal:
    n: int
    def value(self): return self.n * {factor}
def pick(): return Color.R
"""


@pytest.fixture
def run() -> Iterator[Callable[..., str]]:
    """Run a cell and return what it shows; ``restart`` comes first."""
    manager = KernelManager(kernel_name="python3")
    assert manager.kernel_spec is not None
    manager.kernel_spec.argv[0] = sys.executable
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=LIMIT)

    def cell(text: str, *, restart: bool = False, each: Callable[[str], None] = lambda text: None) -> str:
        if restart:
            manager.restart_kernel(now=True)
            client.wait_for_ready(timeout=LIMIT)
        shown: list[str] = []

        def show(message: dict[str, dict[str, object]]) -> None:
            content = message["content"]
            shown.append(str(content.get("text") or content.get("traceback") or content.get("data") or ""))
            each(shown[-1])

        answer = client.execute_interactive(text, timeout=LIMIT, output_hook=show)
        assert answer["content"]["status"] == "ok", shown
        return "".join(shown)

    yield cell
    client.stop_channels()
    manager.shutdown_kernel(now=True)


@pytest.mark.filterwarnings("ignore")
def test_the_same_cell_in_a_restarted_kernel(node: Node, run: Callable[..., str]) -> None:
    good, other = CELL.format(url=node.url, factor=10), CELL.format(url=node.url, factor=100)
    run(good)
    run('objects.put("notebook", [Deal(3), Color.R, pick, {Color.R: Deal}])')
    look = """
d, c, f, m = objects.get("notebook")
print(d.value(), isinstance(d, Deal), d == Deal(3), c is Color.R, f() is Color.R, m == {Color.R: Deal})
"""
    assert "30 True True True True True" in run(look)
    run(good)  # the defining cell alone is run again
    assert "definition" not in run(look)
    run(good, restart=True)
    said = run(look)
    assert "30 True True True True True" in said
    assert "definition" not in said
    run(other, restart=True)
    said = run(look + look)
    assert "300 True True True True True" in said
    assert said.count("the class Deal, whose definition here differs") == 1
    run("import larder", restart=True)  # and a notebook that has none of it
    run(f'objects = larder.init(env_date="2022-01-30", client=larder.Client("{node.url}")).object_service()')
    assert "30 R" in run('d, c, f, m = objects.get("notebook"); print(d.value(), c.name)')


@pytest.mark.filterwarnings("ignore")
def test_who_waits_sees_who_builds(node: Node, run: Callable[..., str], unique: str) -> None:
    seen, done = threading.Event(), []

    def build() -> str:
        larder.progress(0.4, "loading prices")
        assert seen.wait(LIMIT)
        return "of the other process"

    builder = threading.Thread(target=lambda: done.append(larder.ObjectService(larder.Client(node.url)).build(unique, build)))
    builder.start()

    def shown(message: str) -> None:
        if "40%: loading prices" in message:
            seen.set()

    said = run(f'import larder; print(larder.ObjectService(larder.Client("{node.url}")).build("{unique}", int))', each=shown)
    builder.join()
    assert f"has been building '{unique}' for" in said
    assert said.endswith("{'text/plain': ''}of the other process\n")  # what was shown is gone
    assert done == ["of the other process"]
