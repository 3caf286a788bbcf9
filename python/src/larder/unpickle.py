"""The one line that unpickles.

Warnings that libraries give about a pickle, such as numpy's about the pickles of older ones, appear to come
from here. The reader can do nothing about them, so they are not shown.
"""

from __future__ import annotations

import pickle
import warnings
from typing import Any

warnings.filterwarnings("ignore", module=r"larder\.unpickle$")


def run(unpickler: pickle.Unpickler) -> Any:
    """The value of a pickle."""
    return unpickler.load()
