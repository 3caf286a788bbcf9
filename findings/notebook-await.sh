#!/usr/bin/env bash
# ipykernel 7.4.0: what a cell sets is gone in the next cell if the cell has an await at its top level.
#
# Such a cell runs as a task with a copy of the context, and what it sets in context variables ends
# with it. numpy 2 keeps seterr and set_printoptions in context variables: np.seterr(all="raise") in a
# cell that awaits holds for that cell only, without a word.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile --disable-pip-version-check \
    ipykernel==7.4.0 jupyter_client==8.10.0 numpy==2.4.6
export JUPYTER_RUNTIME_DIR=$dir/runtime IPYTHONDIR=$dir/ipython
timeout 300 "$dir/venv/bin/python" - 2>/dev/null <<'EOF'
import sys
from jupyter_client.manager import start_new_kernel

manager, client = start_new_kernel(kernel_name="python3")

def cell(code):
    """Runs a cell in the kernel and returns what it prints."""
    printed = []
    def hear(message):
        if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
            printed.append(message["content"]["text"])
        if message["msg_type"] == "error":
            printed.append(message["content"]["ename"])
    client.execute_interactive(code, timeout=60, output_hook=hear)
    return "".join(printed).strip()

READ = "print(asof.get(), np.geterr()['divide'], np.get_printoptions()['precision'])"
SET = "asof.set('2026-01-30'); _ = np.seterr(divide='raise'); np.set_printoptions(precision=2)"
try:
    cell("import asyncio, contextvars, numpy as np; asof = contextvars.ContextVar('asof', default='unset')")
    print(cell("import ipykernel; print('ipykernel', ipykernel.__version__, ' numpy', np.__version__)"))
    print("ContextVar, numpy's divide, numpy's print precision")
    seen = [cell(READ)]
    print("at the start:                     ", seen[0])
    seen.append(cell("await asyncio.sleep(0); " + SET + "; " + READ))
    print("in the cell that awaits and sets: ", seen[1])
    seen.append(cell(READ))
    print("in the next cell:                 ", seen[2])
    divided = cell("print(np.ones(1) / 0)")
    print("np.ones(1) / 0 there:             ", divided)
    cell(SET)
    seen.append(cell(READ))
    print("set by a cell without an await:   ", seen[3])
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
start, final = "unset warn 8", "2026-01-30 raise 2"
if seen != [start, final, start, final] or divided != "[inf]":
    sys.exit("changed: what a cell that awaits leaves behind")
EOF
