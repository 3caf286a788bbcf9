"""A progress bar for large transfers, if tqdm is installed and somebody looks on."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

SHOWN = 32 << 20  # bytes; less is over before it can be read

Report = Callable[[int], None]


def bar(what: str, size: int, wanted: bool | None) -> AbstractContextManager[Report | None]:
    """Show how far a transfer of ``size`` bytes is. ``wanted`` None: in terminals and notebooks."""
    if wanted is False or size < SHOWN or not (wanted or _watched()):
        return nullcontext()
    return _shown(what, size)


@contextmanager
def _shown(what: str, size: int) -> Iterator[Report | None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # without ipywidgets, the bar is text, and that is enough
            from tqdm.auto import tqdm
    except ImportError:
        yield None
        return
    with tqdm(total=size, desc=what, unit="B", unit_scale=True, unit_divisor=1024) as shown:

        def report(n: int) -> None:
            shown.update(n)

        yield report


def _watched() -> bool:
    if "ipykernel" in sys.modules:
        return True
    return sys.stderr is not None and not sys.stderr.closed and sys.stderr.isatty()
