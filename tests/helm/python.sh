#!/usr/bin/env bash
# Runs a Python program with the tools that tests/helm and tests/pods are made with: python.sh PROGRAM [ARGUMENT...]
#
# They are kept under target/helm. Python 3.11 and its venv are installed where they are missing, if that may be; promtool is taken
# out of Debian's package `prometheus`, without installing that.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
cd "$here/../.."

. tests/need.sh
need_python

# take_promtool INTO
take_promtool() {
    if command -v promtool >/dev/null; then
        ln -s "$(command -v promtool)" "$1"
        return
    fi
    taken_from prometheus usr/bin/promtool > "$1"
    chmod +x "$1"
}

home="target/helm/$(cat "$here/requirements.lock" | sha256sum | cut -c 1-16)"
if [ ! -d "$home" ]; then
    echo "installing the tools into $home"
    # Moved into place last, so that one cut short is not taken for a whole one.
    rm -rf "$home.parts"
    mkdir -p "$home.parts"
    python3 -m venv "$home.parts/venv"
    "$home.parts/venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
        --requirement "$here/requirements.lock"
    take_promtool "$home.parts/promtool"
    mv "$home.parts" "$home"
fi
# Programs in a venv name the path that it was made at, so tools are run as modules.
PATH="$PWD/$home:$PATH" exec "$home/venv/bin/python" -B "$@" </dev/null
