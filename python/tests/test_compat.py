"""A program for the SigTech framework runs once its imports are others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import larder
import larder.compat.sigtech as sig
from tests.conftest import Node

SEED = """
import datetime as dtm

import sigtech.framework as sig

if not sig.config.is_initialised():
    env = sig.init(env_date="2022-01-30")
sig.env()[sig.config.DEFAULT_RS_START_DATE] = dtm.date(2009, 1, 2)

class Strategy:
    def __init__(self, name):
        self.name = name
        self.is_built = False
    def build(self):
        self.is_built = True

rs = [Strategy(f"{t} REINV STRATEGY") for t in ("AAPL", "MSFT")]
for strategy in rs:
    strategy.build()
service = sig.env().strategy_service()
keys = service.cache_strategy(rs)
assert keys[0].startswith("AAPL REINV STRATEGY|2022-01-30T00:00:00+00:00||")

sig.de_init()
assert not sig.config.is_initialised()
env = sig.init(env_date="2022-01-30")
service = env.strategy_service()
assert service.get_keys_by_prefix("AAPL")
assert service.get_strategy_by_name("AAPL REINV STRATEGY").is_built
assert service.get_strategy_by_key(keys[1]).name == "MSFT REINV STRATEGY"
service.remove_strategy_by_name("AAPL REINV STRATEGY")
service.remove_strategy_by_key(keys[1])

from sigtech.framework.services.strategy_service.service import strategy_service_cache, object_service_cache

@strategy_service_cache("ORCL REINV STRATEGY")
def get_orcl_rs():
    return Strategy("ORCL REINV STRATEGY")

get_orcl_rs().build()

@object_service_cache("DAX 20220104")
def dax():
    return ["SAP"]

dax()
objects = env.object_service()
assert "DAX 20220104_2022-01-30" in objects.keys("")
objects.put("key", 1)
assert objects.get("key") == 1
objects.delete("key")
print("done")
"""


@pytest.mark.parametrize("package", ["larder.compat.sigtech", "larder.compat.sigtech.framework"])
def test_it_runs(package: str, node: Node, tmp_path: Path) -> None:
    script = tmp_path / "seed.py"
    script.write_text(SEED.replace("sigtech.framework", package))
    environment = {**os.environ, "LARDER_URL": node.url, "LARDER_SIGNING_KEY": "a-key-of-the-whole-group"}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == "done\n", done.stderr


def test_a_setting_by_hand_within_a_function(node: Node, unique: str) -> None:
    env = sig.init("2022-01-30", client=larder.Client(node.url))

    @larder.strategy_service_cache(unique)
    def build() -> str:
        sig.env()[sig.config.DEFAULT_RS_START_DATE] = "2009-01-02"
        return "built"

    assert build() == "built"
    assert build.key() in env.strategy_service()


def test_config() -> None:
    assert sig.config.DEFAULT_RS_START_DATE == "default_rs_start_date"
    assert sig.config.FORCE_ORDERS == "force_orders"
    with pytest.raises(AttributeError, match="has no 'version'"):
        sig.config.version  # noqa: B018
