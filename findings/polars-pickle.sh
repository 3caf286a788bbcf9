#!/usr/bin/env bash
# A DataFrame pickled by polars 2.1.0 loads in polars 0.20.31 as another frame, without an error.
#
# The state of the pickle is the frame as bytes since polars 1; before it was a list of columns.
# The older release takes the bytes for a column of integers: one row for each byte.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
for version in 2.1.0 0.20.31; do
    python3 -m venv "$dir/$version"
    "$dir/$version/bin/pip" install -q --no-compile --disable-pip-version-check "polars==$version"
done
cd "$dir"
timeout 300 2.1.0/bin/python - <<'EOF'
import pickle, polars as pl
frame = pl.DataFrame({"ticker": ["SAP", "SIE"], "weight": [0.4, 0.6]})
print("written by polars", pl.__version__, "shape", frame.shape, frame.schema)
with open("frame.pickle", "wb") as out:
    pickle.dump(frame, out)
with open("column.pickle", "wb") as out:
    pickle.dump(frame["weight"], out)
EOF
timeout 300 0.20.31/bin/python - <<'EOF'
import pickle, sys, polars as pl
with open("frame.pickle", "rb") as pickled:
    frame = pickle.load(pickled)
with open("column.pickle", "rb") as pickled:
    column = pickle.load(pickled)
print("read by polars", pl.__version__, "shape", frame.shape, frame.schema)
print("its first values:", frame.to_series().head(8).to_list())
print("a Series comes back as it was:", column.to_list())
if frame.width != 1 or frame.height <= 100 or frame.columns != ["column_0"] or column.to_list() != [0.4, 0.6]:
    sys.exit("changed: what polars 0.20.31 makes of a pickle of 2.1.0")
EOF
