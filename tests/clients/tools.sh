# What the scripts beside this one need: tools that are there or installed, and a `tidemark` to run. Sourced, at the root of the checkout.

. tests/need.sh

# The linter wants 20.19; the others 20.
need_node() {
    need node nodejs
    need npm npm
    at_least node "$(node -p process.versions.node)" 20.19
}

# kept NAME FOLDER: `home` becomes a folder under target/clients with a `venv` of FOLDER's requirements.lock and the `node_modules` of its
# package-lock.json, whichever it has. Both have the hashes of all that is installed. It is installed once for these files as they stand.
kept() {
    local inputs=("$2"/{requirements.lock,package.json,package-lock.json}) found=() input
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
    if [ -f "$2/requirements.lock" ]; then
        python3 -m venv "$home.parts/venv"
        "$home.parts/venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
            --requirement "$2/requirements.lock"
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
