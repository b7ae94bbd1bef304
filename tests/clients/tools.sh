# What the scripts beside this one need: tools that are there or installed, and a `tidemark` to run. Sourced, at the root of the checkout.

# need WHAT TEST DEBIAN_PACKAGE...: installs what is missing, if that may be.
need() {
    eval "$2" >/dev/null 2>&1 && return
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "error: $1 is missing; install it (Debian: apt-get install ${*:3}) and run $0 again" >&2
        exit 1
    fi
    echo "$1 is missing: installing it" >&2
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "${@:3}" >&2
}

# at_least WHAT VERSION WANTED
at_least() {
    [ "$(printf '%s\n' "$2" "$3" | sort --version-sort | head -n 1)" = "$3" ] && return
    echo "error: $1 $2 is too old; install $3 or newer and run $0 again" >&2
    exit 1
}

need_python() {
    need python3 'command -v python3' python3
    need "python3's venv" 'python3 -c "import ensurepip, venv"' python3-venv
    at_least python3 "$(python3 -c 'import platform; print(platform.python_version())')" 3.11
}

# The linter wants 20.19; the others 20.
need_node() {
    need node 'command -v node' nodejs
    need npm 'command -v npm' npm
    at_least node "$(node -p process.versions.node)" 20.19
}

# kept NAME FOLDER: `home` becomes a folder under target/clients with a `venv` of FOLDER's requirements.txt (what these bring along pinned
# by constraints.txt) and the `node_modules` of its package.json, whichever it has. It is installed once for these files as they stand.
kept() {
    local inputs=("$2"/{requirements.txt,constraints.txt,package.json,package-lock.json}) found=() input
    for input in "${inputs[@]}"; do
        if [ -f "$input" ]; then found+=("$input"); fi
    done
    home="$PWD/target/clients/$1-$(cat "${found[@]}" | sha256sum | cut -c 1-16)"
    [ -d "$home" ] && return
    echo "installing the tools into ${home#"$PWD/"}" >&2
    # Moved into place last, so that one cut short is not taken for a whole one. Programs in a venv name the path that it was made at, so
    # tools are run as modules.
    rm -rf "$home.parts"
    mkdir -p "$home.parts"
    if [ -f "$2/requirements.txt" ]; then
        local constraints=()
        if [ -f "$2/constraints.txt" ]; then constraints=(--constraint "$2/constraints.txt"); fi
        python3 -m venv "$home.parts/venv"
        "$home.parts/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            --requirement "$2/requirements.txt" "${constraints[@]}"
    fi
    if [ -f "$2/package.json" ]; then
        cp "$2"/package{,-lock}.json "$home.parts"
        npm ci --silent --no-audit --no-fund --prefix "$home.parts"
    fi
    mv "$home.parts" "$home"
}

# `tidemark` becomes the path of the command: TIDEMARK, or what is built here.
build_tidemark() {
    tidemark="${TIDEMARK:-}"
    [ -n "$tidemark" ] && return
    cargo build --quiet --workspace --bins
    tidemark="${CARGO_TARGET_DIR:-target}/debug/tidemark"
}
