#!/usr/bin/env bash
# Runs a Python program with the tools that tests/helm and tests/pods are made with: python.sh PROGRAM [ARGUMENT...]
#
# They are kept under target/helm. Python 3.11 and its venv are installed where they are missing, if that may be; promtool is taken
# out of Debian's package `prometheus`, without installing that.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
cd "$here/../.."

# install DEBIAN_PACKAGE...
install() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "error: $* is missing; install it and run $0 again" >&2
        exit 1
    fi
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "$@" >&2
}

command -v python3 >/dev/null || install python3
python3 -c 'import ensurepip, venv' 2>/dev/null || install python3-venv
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "error: $(python3 --version) is too old; helm-check needs 3.11 or newer" >&2
    exit 1
fi

# take_promtool INTO
take_promtool() {
    if command -v promtool >/dev/null; then
        ln -s "$(command -v promtool)" "$1"
        return
    fi
    if ! command -v apt-get >/dev/null; then
        echo "error: promtool is missing; install Prometheus and run $0 again" >&2
        exit 1
    fi
    local package
    package="$(mktemp -d)"
    # The sandbox's user could not write into this directory.
    (cd "$package" && { apt-get download -qq -o APT::Sandbox::User=root prometheus 2>/dev/null ||
        { apt-get update -qq >&2 && apt-get download -qq -o APT::Sandbox::User=root prometheus; }; })
    dpkg-deb --fsys-tarfile "$package"/prometheus_*.deb | tar --extract --to-stdout ./usr/bin/promtool > "$1"
    chmod +x "$1"
    rm -r "$package"
}

home="target/helm/$(cat "$here"/{requirements,constraints}.txt | sha256sum | cut -c 1-16)"
if [ ! -d "$home" ]; then
    echo "installing the tools into $home"
    # Moved into place last, so that one cut short is not taken for a whole one.
    rm -rf "$home.parts"
    mkdir -p "$home.parts"
    python3 -m venv "$home.parts/venv"
    "$home.parts/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --requirement "$here/requirements.txt" --constraint "$here/constraints.txt"
    take_promtool "$home.parts/promtool"
    mv "$home.parts" "$home"
fi
# Programs in a venv name the path that it was made at, so tools are run as modules.
PATH="$PWD/$home:$PATH" exec "$home/venv/bin/python" -B "$@" </dev/null
