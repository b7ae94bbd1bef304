# What scripts need of a machine, installed from Debian where it is missing, if that may be. Sourced by the scripts of several folders.

# need COMMAND_OR_FILE DEBIAN_PACKAGE...
need() {
    if command -v "$1" >/dev/null || [ -e "$1" ]; then return; fi
    install_packages "$1" "${@:2}"
}

# install_packages WHAT DEBIAN_PACKAGE...
install_packages() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "error: $1 is missing; install it (Debian: apt-get install ${*:2}) and run $0 again" >&2
        exit 1
    fi
    echo "$1 is missing: installing it" >&2
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "${@:2}" >&2
}

# taken_from DEBIAN_PACKAGE FILE: writes one file of a package to standard output, and installs nothing.
taken_from() {
    if ! command -v apt-get >/dev/null; then
        echo "error: ${2##*/} is missing, and is taken from a Debian package: run $0 where apt-get is" >&2
        exit 1
    fi
    local package
    package="$(mktemp -d)"
    # The sandbox's user could not write into this directory.
    (cd "$package" && { apt-get download -qq -o APT::Sandbox::User=root "$1" 2>/dev/null ||
        { apt-get update -qq >&2 && apt-get download -qq -o APT::Sandbox::User=root "$1"; }; }) >&2
    dpkg-deb --fsys-tarfile "$package/$1"_*.deb | tar --extract --to-stdout "./$2"
    rm -r "$package"
}

# at_least WHAT VERSION WANTED
at_least() {
    [ "$(printf '%s\n' "$2" "$3" | sort --version-sort | head -n 1)" = "$3" ] && return
    echo "error: $1 $2 is too old; install $3 or newer and run $0 again" >&2
    exit 1
}

need_python() {
    need python3 python3
    python3 -c 'import ensurepip, venv' 2>/dev/null || install_packages "python3's venv" python3-venv
    at_least python3 "$(python3 -c 'import platform; print(platform.python_version())')" 3.11
}
