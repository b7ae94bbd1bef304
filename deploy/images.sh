#!/usr/bin/env bash
# Builds the images of deploy/Containerfile from binaries that are there, as an OCI layout, and prints how large each is unpacked:
#
#     deploy/images.sh [--binaries DIR] [--into DIR] [--any-size]
#     skopeo copy oci:target/images:tidemark-api docker://REGISTRY/tidemark-api:0.1.0
#
# The binaries are target/release's unless a directory is named. An image of more than 45 MB is an error, except with `--any-size`: a
# debug build's are larger. No network, daemon or base image is needed; buildah and Debian's CA certificates are installed where they are
# missing, if that may be. The same binaries on the same Debian packages give the same digests: files are dated by SOURCE_DATE_EPOCH, or else
# by the last commit. IMAGE_SOURCE is the URL of the sources, for the label; by default it is that of the remote `origin`.
set -euo pipefail
cd "$(dirname "$0")/.."

# Unpacked, in MB of 1,000,000 bytes (OPERATIONS.md).
size_max=45
# Each image's target in the Containerfile, and the binary it runs.
targets=(api:tidemark-api ingest:tidemark-ingest tidemark:tidemark)

binaries="${CARGO_TARGET_DIR:-target}/release"
into=target/images
while [ $# -gt 0 ]; do
    case "$1" in
        --binaries) binaries="${2:?--binaries needs a directory}"; shift 2 ;;
        --into) into="${2:?--into needs a directory}"; shift 2 ;;
        --any-size) size_max=; shift ;;
        *) echo "error: $1 is no option: see the beginning of $0" >&2; exit 2 ;;
    esac
done

. tests/need.sh

# Mozilla's roots as Debian packages them. Not /etc/ssl/certs: there a machine adds its own.
roots=/usr/share/ca-certificates/mozilla

# foundation ROOT: users, how names are resolved, whom TLS trusts.
foundation() {
    mkdir -p "$1/etc/ssl/certs"
    echo 'tidemark:x:65532:65532:tidemark:/:/usr/sbin/nologin' > "$1/etc/passwd"
    echo 'tidemark:x:65532:' > "$1/etc/group"
    # The AWS SDK asks glibc, which has both of these built in. Without this file it would ask DNS before /etc/hosts.
    printf '%s\n' 'passwd: files' 'group: files' 'hosts: files dns' > "$1/etc/nsswitch.conf"
    # Where rustls-native-certs looks first. SSL_CERT_FILE names another file, such as one with a company's own roots.
    cat "$roots"/*.crt > "$1/etc/ssl/certs/ca-certificates.crt"
}

# workload ROOT BINARY: a binary and the shared objects it needs, the loader included, where the loader looks for them.
workload() {
    mkdir -p "$1/usr/bin"
    # The line tables of a release double its size; function names stay, and a panic's own line is in the code. The command has both
    # workloads and a database in it, and stays within the limit only without the names.
    local what=--strip-debug
    [ "${2##*/}" != tidemark ] || what=--strip-all
    strip "$what" -o "$1/usr/bin/${2##*/}" "$2"
    local objects object
    objects="$(ldd "$2")"
    if grep -q 'not found' <<< "$objects"; then
        echo "error: not all shared objects of $2 are on this machine" >&2
        exit 1
    fi
    for object in $(grep -o '/[^ ]*' <<< "$objects"); do
        install -D --mode 0755 "$(realpath "$object")" "$1$object"
    done
}

need buildah buildah
need strip binutils
need "$roots" ca-certificates
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
umask 022
foundation "$work/context/foundation"
for target in "${targets[@]}"; do
    binary="$binaries/${target#*:}"
    if [ ! -x "$binary" ]; then
        echo "error: $binary is not built: cargo build --release --workspace --bins" >&2
        exit 1
    fi
    workload "$work/context/${target%%:*}" "$binary"
done

buildah=(buildah --storage-driver vfs --root "$work/store" --runroot "$work/run")
version="$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)"
revision="$(git rev-parse HEAD 2>/dev/null || echo unknown)"
source="${IMAGE_SOURCE:-$(git remote get-url origin 2>/dev/null | grep '^https://' || true)}"
date="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}"
rm -rf "$into"
mkdir -p "$into"
faults=0
printf '%-16s %8s\n' image MB
for target in "${targets[@]}"; do
    name="${target#*:}"
    "${buildah[@]}" bud --quiet --isolation chroot --layers --timestamp "$date" --target "${target%%:*}" --tag "$name" \
        --build-arg "VERSION=$version" --build-arg "REVISION=$revision" --build-arg "SOURCE=$source" \
        --file deploy/Containerfile "$work/context" >/dev/null
    "${buildah[@]}" push --quiet "$name" "oci:$into:$name"
    container="$("${buildah[@]}" from --pull-never "$name")"
    bytes="$(du --summarize --bytes "$("${buildah[@]}" mount "$container")" | cut -f 1)"
    "${buildah[@]}" rm "$container" >/dev/null
    printf '%-16s %8s\n' "$name" "$(awk "BEGIN { printf \"%.1f\", $bytes / 1e6 }")"
    if [ -n "$size_max" ] && [ "$bytes" -gt "$((size_max * 1000000))" ]; then
        echo "error: $name is larger than $size_max MB" >&2
        faults=1
    fi
done
exit "$faults"
