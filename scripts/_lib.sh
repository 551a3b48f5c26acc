# Sourced by the scripts beside it: where the repository is, and the project's own virtual environment.
# Nothing but a Python of 3.11 or newer is expected of the machine.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
VENV=${LEDGERLIFT_VENV:-$ROOT/.venv}
TOOLS=$ROOT/.tools/bin
LOCK=$ROOT/requirements/dev.txt
CALLER=$PWD
cd "$ROOT"

# Service managers and some CI start scripts without a home. pip and go then keep their caches in here.
if [ -z "${HOME:-}" ]; then
    export HOME=$ROOT/.tools/home
    mkdir -p "$HOME"
fi
export PATH=$TOOLS:$PATH

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# same FILE FILE: both are there and hold the same text.
same() { [ -e "$1" ] && [ -e "$2" ] && [ "$(<"$1")" = "$(<"$2")" ]; }

# Prints the first Python that is new enough and able to make environments. It is run, not only looked up: version
# managers put a name on the PATH for interpreters that they then refuse to start.
find_python() {
    local name names=(python3 python3.13 python3.12 python3.14 python3.11 python)
    [ -z "${PYTHON:-}" ] || names=("$PYTHON")
    for name in "${names[@]}"; do
        if "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            printf '%s\n' "$name"
            return
        fi
    done
    if [ -n "${PYTHON:-}" ]; then
        die "PYTHON=$PYTHON is not a Python 3.11 or newer with its venv module"
    fi
    die "LedgerLift needs Python 3.11 or newer with its venv module (on Debian: apt-get install python3 python3-venv)." \
        "None is on the PATH; set PYTHON to use one that is elsewhere."
}

# Makes the environment what the lock says. A second call costs a few milliseconds: the stamps are copies of what was
# installed. An environment has its own path written into it, so one that was moved or copied here is made anew.
# LEDGERLIFT_VENV names an environment of your own; that one is used as it is.
ensure_env() {
    [ -z "${LEDGERLIFT_VENV:-}" ] || return 0
    local stamp=$VENV/.installed
    if ! "$VENV/bin/python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 ||
        ! grep -qF "$VENV" "$VENV/bin/activate"; then
        local python
        python=$(find_python)
        say "making .venv with $("$python" --version)"
        "$python" -m venv --clear "$VENV"
    fi
    mkdir -p "$stamp"
    if ! same "$LOCK" "$stamp/dev.txt"; then
        say "installing requirements/dev.txt (every file is checked against its hash)"
        "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$LOCK"
        cp "$LOCK" "$stamp/dev.txt"
    fi
    if ! same pyproject.toml "$stamp/pyproject.toml"; then
        "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
        cp pyproject.toml "$stamp/pyproject.toml"
    fi
}
