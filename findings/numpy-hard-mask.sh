#!/usr/bin/env bash
# numpy 2.4.6: a masked array with a hard mask comes back from a pickle with a soft one.
#
# A hard mask says that no assignment unmasks a value. Copies keep it, deep ones too. pickle and joblib
# do not: the same assignment leaves the array alone on one side and changes its sum on the other.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile --disable-pip-version-check numpy==2.4.6 joblib==1.5.3
cd "$dir"
cat > masks.py <<'EOF'
import copy, pickle, sys
import joblib, numpy as np

def put():
    return np.ma.masked_array([1.0, 2.0, 3.0], mask=[False, True, False], hard_mask=True)

def by_joblib(array):
    joblib.dump(array, "array.joblib")
    return joblib.load("array.joblib")

ways = {
    "as it was made": lambda array: array,
    "copied": lambda array: array.copy(),
    "copied deeply": copy.deepcopy,
    "pickled": lambda array: pickle.loads(pickle.dumps(array)),
    "by joblib": by_joblib,
}
print("numpy", np.__version__, "joblib", joblib.__version__, "after array[1] = 9:")
found = []
for name, way in ways.items():
    array = way(put())
    hard = array.hardmask
    array[1] = 9
    found.append((hard, float(array.sum())))
    print(f"  {name}: the mask is {'hard' if hard else 'soft'}, {array}, the sum is {array.sum()}")
if found != [(True, 4.0)] * 3 + [(False, 13.0)] * 2:
    sys.exit("changed: which ways keep a hard mask")
EOF
timeout 300 venv/bin/python masks.py
