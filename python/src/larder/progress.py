"""A progress bar for large transfers, if tqdm is installed and somebody looks on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LARGE = 32 << 20  # bytes; less is over before it can be read

Report = Callable[[int], None]


@contextmanager
def bar(what: str, size: int, wanted: bool | None) -> Iterator[Report | None]:
    """Show how far a transfer of ``size`` bytes is. ``wanted`` None: in terminals and notebooks."""
    if wanted is False or size < _LARGE or not (wanted or _watched()):
        yield None
        return
    try:
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
    return sys.stderr is not None and sys.stderr.isatty()
