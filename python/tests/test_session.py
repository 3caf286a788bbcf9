"""Classes of scripts and notebooks: the reader's own class, or the writer's where the reader has none."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import larder
from tests.conftest import Node

START = """
    import sys, warnings
    if "nocloud" in sys.argv: sys.modules["cloudpickle"] = None
    import larder
    import dataclasses, enum, typing, collections
    larder_objects = larder.ObjectService(larder.Client(sys.argv[1], allow_pickle="nopickle" not in sys.argv))
    put, get = larder_objects.put, larder_objects.get
"""
QUIET = '    warnings.simplefilter("error"); warnings.filterwarnings("ignore", message="no signing key")\n'

CLASSES = """
    class Side(enum.Enum): BUY = 1; SELL = 2
    class Level(enum.IntFlag): A = 1; B = 2
    @dataclasses.dataclass(frozen=True)
    class Deal:
        n: int
        side: Side = Side.BUY
        def value(self): return self.n * 100
    class Outer:
        class Inner:
            def __init__(self, n): self.n = n
            def __eq__(self, other): return type(other) is Outer.Inner and other.n == self.n
            __hash__ = None
    Point = collections.namedtuple("P", "x y")
    class Pair(typing.NamedTuple):
        a: int
        b: Deal
    class Meta(type):
        def __len__(cls): return 7
    class Made(Outer.Inner, metaclass=Meta):
        def __eq__(self, other): return type(other) is Made and other.n == self.n
        def mate(self): return Mate
    class Mate:
        __slots__ = ("n",)
        def __init__(self, n): self.n = n
        def made(self): return Made
        def __eq__(self, other): return type(other) is Mate and other.n == self.n
    class Broken(ValueError):
        def __init__(self, a, b):
            super().__init__(a, b)
            self.b = b
        def __eq__(self, other): return type(other) is Broken and other.args == self.args
    T = typing.TypeVar("T")
    class Box(typing.Generic[T]):
        def __init__(self, v): self.v = v
        def __eq__(self, other): return type(other) is Box and other.v == self.v
    class Text(str): pass
    class Record(typing.TypedDict):
        a: int
    values = {
        "enum": [Side.BUY, Side.SELL, Side.BUY], "flag": Level.A | Level.B, "deal": {Deal(3, Side.SELL): [Deal(4)]},
        "inner": Outer.Inner(1),
        "named": (Point(1, 2), Pair(1, Deal(2))), "made": [Made(1), Mate(2)], "error": Broken(1, 2), "box": Box[int](5), "text": Text("t"),
        "class": Deal, "classes": [Made, Meta, Mate, Box], "alias": Box[Deal], "record": Record,
    }
"""


def run(node: Node, *scripts: str, args: tuple[str, ...] = (), code: int = 0) -> str:
    """The output of a script of its own, which is its __main__."""
    script = textwrap.dedent(START) + "".join(textwrap.dedent(s) for s in scripts)
    done = subprocess.run([sys.executable, "-c", script, node.url, *args], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr + done.stdout
    return done.stdout + done.stderr


READ = """
    for name, value in values.items():
        got = get(f"session/{name}")
        assert got == value, (name, got, value)
        assert type(got) is type(value), name
    assert [s is Side.BUY for s in get("session/enum")] == [True, False, True]
    assert isinstance(next(iter(get("session/deal"))), Deal)
"""


@pytest.mark.parametrize("args", [(), ("nocloud",)], ids=["cloudpickle", "without"])
def test_the_readers_own_class(node: Node, args: tuple[str, ...]) -> None:
    run(node, CLASSES, "for name, value in values.items(): put(f'session/{name}', value)\n", args=args)
    run(node, QUIET, CLASSES, READ)
    run(node, QUIET, CLASSES, READ, args=("nocloud",))


def test_the_writers_class_where_there_is_none(node: Node) -> None:
    run(node, CLASSES, "for name, value in values.items(): put(f'session/{name}', value)\n")
    run(
        node,
        QUIET,
        """
        deal = next(iter(get("session/deal")))
        assert deal.value() == 300 and deal.side.name == "SELL"
        sides = get("session/enum")
        assert sides[0] is sides[2] and type(sides[0]) is type(deal.side)  # also between two gets
        made, mate = get("session/made")
        assert made.mate() is type(mate) and mate.made() is type(made) and len(type(made)) == 7
        assert get("session/box").v == 5 and get("session/error").b == 2 and get("session/named")[0].x == 1
        put("session/again", deal)
        """,
    )
    run(node, QUIET, CLASSES, "assert get('session/again') == Deal(3, Side.SELL)\n")


def test_a_mixture(node: Node) -> None:
    """A copy refers to the reader's classes where the reader has them."""
    run(node, CLASSES, "put('session/deal', Deal(3, Side.SELL))\n")
    run(
        node,
        QUIET,
        """
        class Side(enum.Enum): BUY = 1; SELL = 2
        assert get("session/deal").side is Side.SELL
        """,
    )


@pytest.mark.parametrize(
    ("definition", "differs"),
    [
        ("    # a comment\n    def value(self):\n        'with a docstring'\n        return self.n * 100", False),
        ("    def value(self): return self.n * 10", True),
        ("    def value(self): return self.n * 100\n    rate = 2", True),
        ("    m: int = 0\n    def value(self): return self.n * 100", True),
    ],
    ids=["comment", "code", "constant", "field"],
)
def test_another_definition(node: Node, definition: str, differs: bool) -> None:
    head = "@dataclasses.dataclass\nclass Deal:\n    n: int\n"
    run(node, head + "    def value(self): return self.n * 100\nput('session/deal', [Deal(3), Deal(4)])\n")
    again = "d = get('session/deal')[0]; get('session/deal'); assert isinstance(d, Deal); print(d.value())\n"
    said = run(node, head + definition + "\n" + again)
    assert said.count("the class Deal, whose definition here differs") == int(differs), said
    assert said.startswith("30\n" if "* 10\n" in definition + "\n" else "300\n")


def test_the_cell_is_run_again(node: Node) -> None:
    run(
        node,
        QUIET,
        """
        class Side(enum.Enum): BUY = 1
        old = Side.BUY
        put("session/side", old)
        class Side(enum.Enum): BUY = 1
        assert get("session/side") is Side.BUY
        put("session/side", [old, old])  # an object that was made before
        assert get("session/side")[0] is Side.BUY
        """,
    )


def test_functions_and_frames(node: Node) -> None:
    cell = """
        import pandas, numpy
        class Side(enum.Enum): BUY = 1
        def pick(): return Side.BUY
    """
    run(node, cell, "put('session/f', [pick, lambda: Side]); put('session/df', pandas.DataFrame({'s': [Side.BUY, None]}))\n")
    run(node, cell, "put('session/array', numpy.array([Side.BUY], dtype=object))\n")
    run(
        node,
        QUIET,
        cell,
        """
        f, g = get("session/f")
        assert f() is Side.BUY and g() is Side
        assert get("session/df")["s"][0] is Side.BUY and get("session/array")[0] is Side.BUY
        """,
    )


def test_without_cloudpickle(node: Node) -> None:
    cell = "class Side(enum.Enum): BUY = 1\ndef f(): pass\n"
    said = run(node, cell, "put('session/side', Side.BUY); put('session/side', Side.BUY); put('session/f', f)\n", args=("nocloud",))
    assert said.count("Side is defined in this script or notebook, and cloudpickle is not installed") == 1, said
    assert said.count("f is defined in this script or notebook") == 1
    for value in ("lambda: 1", "{'f': lambda: 1}", "(lambda: (lambda: 1))()"):
        said = run(node, f"put('session/lambda', {value})\n", args=("nocloud",), code=1)
        assert "<lambda> cannot be imported by others; pip install cloudpickle" in said
    assert "and no copy of it was stored: define it here" in run(node, "get('session/side')\n", code=1)


def test_a_class_that_cannot_be_copied(node: Node) -> None:
    cell = """
        import functools, threading
        class Cached:
            @functools.cached_property
            def n(self): return 7
        class Locked:
            lock = threading.Lock()
    """
    said = run(node, cell, "put('session/cached', Cached())\nput('session/locked', [Locked(), Locked()])\n")
    assert said.count("Locked is defined in this script or notebook, and it cannot be copied (TypeError: cannot pickle") == 1
    assert "Cached is defined" not in said
    run(node, QUIET, cell, "assert isinstance(get('session/locked')[0], Locked) and isinstance(get('session/cached'), Cached)\n")
    assert run(node, "print(get('session/cached').n)\n").startswith("7")


def test_pickles_are_refused_still(node: Node) -> None:
    cell = "class Side(enum.Enum): BUY = 1\n"
    run(node, cell, "put('session/side', Side.BUY)\n")
    assert "allow_pickle=False" in run(node, cell, "get('session/side')\n", args=("nopickle",), code=1)


def test_spawned_processes(node: Node, tmp_path: Path) -> None:
    """There __main__ is called __mp_main__."""
    script = textwrap.dedent(START) + textwrap.dedent(
        """
        import multiprocessing
        class Side(enum.Enum): BUY = 1
        def work():
            assert Side.__module__ == "__mp_main__"
            put("session/spawned", [Side.BUY, lambda: Side])
        if __name__ == "__main__":
            worker = multiprocessing.get_context("spawn").Process(target=work)
            worker.start(); worker.join()
            assert worker.exitcode == 0
            assert get("session/spawned")[0] is Side.BUY and get("session/spawned")[1]() is Side
        """
    )
    file = tmp_path / "spawns.py"
    file.write_text(script)
    subprocess.run([sys.executable, str(file), node.url], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    said = run(node, "print(get('session/spawned')[0].name)\n")
    assert said.startswith("BUY"), said


def test_names_in_such_pickles_are_read_by_larder_only() -> None:
    from larder import session

    with pytest.raises(pickle.UnpicklingError, match="read by larder only"):
        session.main_class("Side")
    with pytest.raises(pickle.UnpicklingError, match="read by larder only"):
        session.begin_copy("Side", type)


def test_many_objects_of_one_definition(node: Node, objects: larder.ObjectService) -> None:
    """Two writers of one definition give one class to a reader who has none."""
    cell = "class Unheard:\n    n = 1\n"
    run(node, cell, "put('session/one', Unheard())\n")
    run(node, cell, "put('session/two', Unheard())\n")
    assert type(objects.get("session/one")) is type(objects.get("session/two"))
