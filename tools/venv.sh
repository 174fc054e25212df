#!/bin/sh
# Make .venv ready: `sh tools/venv.sh run` for the program, `sh tools/venv.sh dev` for its tests and checks besides.
# PYTHON names the interpreter to use; TORCH_INDEX=URL takes torch, and torch alone, from another package index;
# VENV and CONSTRAINTS stand in for .venv and requirements.lock when a new lock is made.
set -eu

extra=${1:?say run or dev}
cd "$(dirname -- "$0")/.."
venv=${VENV:-.venv}
suits='import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 12))'

stop() {
    echo "$*" >&2
    exit 1
}

find_python() {
    for candidate in ${PYTHON:-python3.12 python3.11 python3}; do
        if "$candidate" -c "$suits" >/dev/null 2>&1; then
            if "$candidate" -c 'import venv, ensurepip' >/dev/null 2>&1; then
                echo "$candidate"
                return
            fi
            lacking=$candidate
        fi
    done
    if [ -n "${lacking:-}" ]; then
        stop "$lacking cannot make virtual environments: install its venv module (on Debian or Ubuntu: apt-get install python3-venv), then run this again."
    fi
    stop "Python 3.11 or 3.12 is needed and was not found (looked for: ${PYTHON:-python3.12, python3.11, python3}). Install one, or name it with PYTHON=/path/to/python3.12, then run this again."
}

if ! "$venv/bin/python" -c "import pip; $suits" >/dev/null 2>&1; then
    python=$(find_python)
    echo "Creating $venv with $("$python" --version)"
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi

pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }

index=$venv/.torch-index
if [ -n "${TORCH_INDEX:-}" ] && [ "$(cat "$index" 2>/dev/null)" != "$TORCH_INDEX" ]; then
    torch=$(sed -n 's/^ *"\(torch==[^"]*\)",*$/\1/p' pyproject.toml)
    echo "Installing $torch from $TORCH_INDEX"
    pip install --quiet --force-reinstall --no-deps --index-url "$TORCH_INDEX" "$torch"
    echo "$TORCH_INDEX" >"$index"
fi

if [ "$extra" = dev ]; then what='.[dev]'; else what='.'; fi
echo "Installing what pyproject.toml lists into $venv (a few minutes the first time)"
pip install --quiet --no-compile -c "${CONSTRAINTS:-requirements.lock}" -e "$what"
# pip would compile one file after the other. What cannot be compiled for this Python, and the tests of packages, are
# left as they are.
"$venv/bin/python" -m compileall -qq -j 0 -x '/tests?/' "$venv/lib" || :
touch "$venv/.ready-run"
if [ "$extra" = dev ]; then touch "$venv/.ready-dev"; fi
