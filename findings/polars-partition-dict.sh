#!/usr/bin/env bash
# polars 2.1.0: partition_by(as_dict=True) loses the rows of all but one of the times within a microsecond.
#
# The keys of the dictionary are Python datetimes, which have no nanoseconds. Two partitions whose times differ in
# those have the same key, and the later one takes the place of the other, without a word. partition_by without
# as_dict has both, and so has pandas' groupby. Whoever stores one object for each partition misses rows.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile --disable-pip-version-check polars==2.1.0 pandas==3.1.1 pyarrow==26.0.1
cd "$dir"
cat > partitions.py <<'EOF'
import sys
import pandas as pd, polars as pl

at = 1_700_000_000_000_000_000
times = pl.Series([at + 1, at + 2, at + 2]).cast(pl.Datetime("ns"))
trades = pl.DataFrame({"time": times, "quantity": [1, 2, 4]})
found = {
    "the frame": [trades],
    "partition_by": trades.partition_by("time"),
    "partition_by, as_dict": list(trades.partition_by("time", as_dict=True).values()),
    "dict(group_by)": list(dict(trades.group_by("time")).values()),
}
grouped = dict(iter(trades.to_pandas().groupby("time")))
print("polars", pl.__version__, "pandas", pd.__version__)
sums = {name: (len(parts), sum(int(part["quantity"].sum()) for part in parts)) for name, parts in found.items()}
sums["pandas' groupby"] = len(grouped), sum(int(part["quantity"].sum()) for part in grouped.values())
for name, (parts, quantity) in sums.items():
    print(f"  {name}: {parts} frames, quantity {quantity}")
expected = {"the frame": (1, 7), "partition_by": (2, 7), "partition_by, as_dict": (1, 6), "pandas' groupby": (2, 7)}
if any(sums[name] != want for name, want in expected.items()) or sums["dict(group_by)"][0] != 1:
    sys.exit("changed: which rows are lost")
EOF
timeout 300 venv/bin/python partitions.py
