#!/usr/bin/env bash
# Starts what the Helm chart renders as Kubernetes would, from the images that deploy/images.sh makes of binaries that are there:
#
#     tests/pods/check.sh [BINARIES [NAME...]]
#
# BINARIES is target/debug unless it is named, and names are those of values files: all of them without any. Pods are runc containers with
# the user, the capabilities, the seccomp profile, the read-only root and the memory of their Pod, each with an address of its own: see
# check.py. All of it runs in namespaces that end with this script, and leaves nothing behind. It takes root, and a Linux with bridges;
# Debian packages are installed where they are missing, if that may be.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
cd "$here/../.."

. tests/need.sh

# Inside of the namespaces, with DynamoDB Local.
if [ "${1:-}" = --inside ]; then
    shift
    PYTHONPATH="$here/../helm" exec "$here/../helm/python.sh" "$here/check.py" "${TIDEMARK_TEST_DYNAMODB#http://}" "$@"
fi

if [ "$(id -u)" != 0 ]; then
    echo "error: pods need namespaces, so run $0 as root" >&2
    exit 1
fi
binaries="${1:-${CARGO_TARGET_DIR:-target}/debug}"
need runc runc
need ip iproute2
need openssl openssl
need wget wget
need readelf binutils
# The seccomp profile comes with it.
need /usr/share/containers/seccomp.json golang-github-containers-common

work="$(mktemp -d)"
export PODS_CGROUP="tidemark-pods-$$"
trap 'rm -rf "$work"; find /sys/fs/cgroup -depth -type d -path "*/$PODS_CGROUP*" -exec rmdir {} + 2>/dev/null || true' EXIT
# Others build meanwhile: what is taken is taken once.
mkdir "$work/binaries"
cp "$binaries"/{tidemark,tidemark-api,tidemark-ingest} "$work/binaries"
deploy/images.sh --binaries "$work/binaries" --into "$work/layout" --any-size
deploy/images.sh --binaries "$work/binaries" --into "$work/again" --any-size >/dev/null

# What stands in for the image of `helm test`, which cannot be pulled here: BusyBox, but GNU's wget, as that of Debian's BusyBox crashes
# when it is given a time limit.
mkdir -p "$work/busybox/bin"
taken_from busybox bin/busybox > "$work/busybox/bin/busybox"
chmod +x "$work/busybox/bin/busybox"
for applet in sh grep; do ln "$work/busybox/bin/busybox" "$work/busybox/bin/$applet"; done
cp "$(command -v wget)" "$work/busybox/bin/wget"
ldd "$work"/busybox/bin/{busybox,wget} | grep -o '/lib[^ ]*' | sort -u | xargs -I {} install -D {} "$work/busybox{}"

# There is no network inside: tools are fetched before.
tests/dynamodb-local.sh true
tests/helm/python.sh -c ''
mkdir "$work/run"
# /run is the namespaces' own: runc and ip keep their state there.
exec_inside='mount --bind "$1" /run && ip link set lo up && exec "${@:2}"'
unshare --net --mount --pid --fork --kill-child --mount-proc bash -euc "$exec_inside" bash "$work/run" \
    tests/dynamodb-local.sh "$here/check.sh" --inside "$work" "$work/layout" "$work/again" "$work/busybox" "${@:2}"
