#!/usr/bin/env bash
# Builds the wheel, installs it into an empty environment and runs a loop of one round from an
# empty folder: proves that configuration and weights travel inside. Takes about 4 minutes.
#
#     make wheel-check        or        PYTHON=.venv/bin/python scripts/check_wheel.sh
#
# PYTHON needs the packages `build` and `hatchling` (extra `dev`). Dependencies are installed
# afresh, from constraints.txt.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
unset PYTHONPATH VIRTUAL_ENV

echo "wheel-check: building"
"$python" -m build --wheel --no-isolation --outdir "$temporary/dist" "$root" >"$temporary/build.log" 2>&1 ||
    { cat "$temporary/build.log" >&2; exit 1; }
wheel=$(echo "$temporary"/dist/coevo-*.whl)

echo "wheel-check: installing $(basename "$wheel") into an empty environment"
"$python" -m venv "$temporary/venv"
"$temporary/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    -c "$root/constraints.txt" "$wheel"

mkdir "$temporary/empty"
cd "$temporary/empty"
coevo=$temporary/venv/bin/coevo

echo "wheel-check: running from an empty folder"
"$coevo" --help
small=(rounds=1 runtime=inline evaluation.per_cell=1 evaluation.k=2 tracker.wandb.mode=disabled)
"$coevo" run "${small[@]}" evaluation.curve_every=0 name=wheel
"$coevo" eval tiny per_cell=1 k=1
"$temporary/venv/bin/python" - <<'PYTHON'
import json
from pathlib import Path

import coevo

assert "site-packages" in coevo.__file__, f"not the wheel: {coevo.__file__}"
summary = json.loads(Path("runs/wheel/summary.json").read_text())
assert summary["schema"] == 1, f"schema is {summary['schema']}"
assert summary["rounds"] == 1, f"rounds is {summary['rounds']}"
PYTHON
echo "wheel-check: the wheel runs a loop by itself"
