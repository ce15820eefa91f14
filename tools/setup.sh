#!/usr/bin/env bash
# Makes .venv and installs the pinned requirements; does nothing if that is done. Needs Python 3.11-3.13 with venv.
#   PYTHON=python3.12 tools/setup.sh          another Python
#   VENV_FLAGS=--system-site-packages         use a torch that the machine brings along (clusters, containers)
set -euo pipefail
cd "$(dirname "$0")/.."
VENV=${VENV:-.venv}
TORCH=$(grep -E '^torch==' requirements.txt)
STAMP=$VENV/.pocketlm-stamp
# The place counts too: the package is installed as a link to it.
WANTED=$({ pwd -P; cat requirements.txt requirements-dev.txt constraints.txt pyproject.toml tools/setup.sh; } | sha256sum | cut -c1-64)

if [ -f "$STAMP" ] && [ "$(cat "$STAMP")" = "$WANTED" ]; then exit 0; fi

supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

has_venv() { "$1" -c 'import venv, ensurepip' 2>/dev/null; }

find_python() {
    local name without=
    for name in ${PYTHON:-python3 python3.12 python3.13 python3.11}; do
        supported "$name" || continue
        if has_venv "$name"; then command -v "$name"; return; fi
        without=${without:-$name}
    done
    if [ -n "$without" ]; then
        echo "setup: $without has no venv module; remedy: apt install $(basename "$without")-venv" >&2
    else
        echo "setup: no Python 3.11, 3.12 or 3.13 found; remedy: apt install python3 python3-venv" >&2
    fi
    exit 1
}

has_torch() { "$PY" -c "import importlib.metadata as m, sys; sys.exit(m.version('torch').split('+')[0] != '${TORCH#*==}')" 2>/dev/null; }

# A CPU machine must not get gigabytes of CUDA libraries. pip's own choice is taken where it is a CPU build (a store of
# wheels with one in it); else uv, which knows where the CPU builds are published; else whatever pip finds.
install_torch() {
    if has_torch; then echo "setup: torch is there already"; return; fi
    if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L >/dev/null 2>&1; then
        pip_install "$TORCH"
    elif "$PY" -m pip install --dry-run --no-deps --quiet --report - "$TORCH" 2>/dev/null | grep -q '"version": "[^"]*+cpu"'; then
        pip_install "$TORCH"
    elif "$PY" -m pip install --quiet uv==0.13.8 2>/dev/null && "$PY" -m uv pip install --python "$PY" --torch-backend=cpu "$TORCH"; then
        :
    else
        echo "setup: no CPU build of torch found; taking the default one" >&2
        pip_install "$TORCH"
    fi
}

pip_install() { "$PY" -m pip install -qq --disable-pip-version-check "$@"; }

if ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then # none, or one whose making was interrupted
    FOUND=$(find_python)
    # shellcheck disable=SC2086  # several flags
    "$FOUND" -m venv ${VENV_FLAGS:-} "$VENV"
fi
PY=$PWD/$VENV/bin/python
[ "${VENV#/}" = "$VENV" ] || PY=$VENV/bin/python
echo "setup: $("$PY" --version) in $VENV; the first time takes some minutes"
install_torch
# torch is constrained to the build that is there: nothing may replace it.
CONSTRAINTS=$(mktemp)
trap 'rm -f "$CONSTRAINTS"' EXIT
grep -v '^torch==' constraints.txt >"$CONSTRAINTS"
"$PY" -c "import importlib.metadata as m; print('torch==' + m.version('torch'))" >>"$CONSTRAINTS"
grep -v '^torch==' requirements.txt >"$CONSTRAINTS.in"
pip_install -c "$CONSTRAINTS" -r "$CONSTRAINTS.in" -r requirements-dev.txt
rm -f "$CONSTRAINTS.in"
pip_install -c "$CONSTRAINTS" "setuptools>=77"
pip_install --no-deps --no-build-isolation --editable .
"$PY" -m pip check
echo "$WANTED" >"$STAMP"
echo "setup: done; activate it with: source $VENV/bin/activate"
