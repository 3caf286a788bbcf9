#!/usr/bin/env bash
# pandas 3.1.1: a frame of plain floats, pickled where pyarrow is installed, cannot be read without it.
#
# Column labels are strings, and since pandas 3 strings are pyarrow's wherever pyarrow is installed. So
# the pickle of a frame without a single string in it needs pyarrow for the names of its columns, with
# the same pandas and the same numpy. The other way round it loads.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile --disable-pip-version-check pandas==3.1.1
"$dir/venv/bin/pip" install -q --no-compile --disable-pip-version-check --target "$dir/arrow" pyarrow==26.0.1
cd "$dir"
cat > dump.py <<'EOF'
import pickle, sys
import numpy as np, pandas as pd
values = {
    "DataFrame of floats, columns named": pd.DataFrame({"x": [1.0, 2.0], "y": [3.0, 4.0]}),
    "DataFrame of floats, columns numbered": pd.DataFrame(np.ones((2, 2))),
    "Series of floats, named": pd.Series([1.0, 2.0], name="x"),
    "Series of floats, labelled": pd.Series({"SAP": 0.4, "SIE": 0.6}),
}
with open(sys.argv[1], "wb") as out:
    pickle.dump({name: pickle.dumps(value) for name, value in values.items()}, out)
EOF
cat > load.py <<'EOF'
import importlib.util, pickle, sys
import pandas as pd
print("pandas", pd.__version__, "with" if importlib.util.find_spec("pyarrow") else "without", "pyarrow reads", sys.argv[1])
failed = []
with open(sys.argv[1], "rb") as pickled:
    for name, value in pickle.load(pickled).items():
        try:
            pickle.loads(value)
            print(f"  {name}: as it was")
        except ImportError as error:
            failed.append(name.rpartition(", ")[2])
            print(f"  {name}: {error!r}")
if " ".join(failed) != sys.argv[2]:
    sys.exit("changed: which pickles need pyarrow")
EOF
PYTHONPATH=$dir/arrow timeout 300 venv/bin/python dump.py with-pyarrow.pickle
timeout 300 venv/bin/python dump.py without-pyarrow.pickle
timeout 300 venv/bin/python load.py with-pyarrow.pickle "columns named labelled"
PYTHONPATH=$dir/arrow timeout 300 venv/bin/python load.py without-pyarrow.pickle ""
