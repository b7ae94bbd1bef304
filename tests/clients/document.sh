#!/usr/bin/env bash
# What must hold of the committed document, openapi/openapi.json: the linter's rules of openapi/redocly.yaml, and that no program written
# for the last release's document breaks on this one: see document/breaking.py. That it is the generated one, a test of tidemark-api holds.
#
# A clone that is shallow or has no tag of a release fetches what it lacks; one that stays shallow without a tag warns. The linter is kept
# under target/clients. Python 3.11 and Node 20.19 or newer are installed where they are missing, if that may be.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
cd "$here/../.."
. "$here/tools.sh"
# Longest that a missing history may take to come.
FETCH_SECONDS_MAX=60
need_python
need_node
need git git

kept document "$here/document"
REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true \
    node "$home/node_modules/@redocly/cli/bin/cli.js" lint --config openapi/redocly.yaml openapi/openapi.json

python3 -B "$here/document/breaking_test.py" --quiet
release() { git tag --merged HEAD --list 'v*' --sort=-version:refname | head -n 1; }

# A shallow clone lacks the history that leads to the last release, and mostly its tag, too.
is_shallow() { [ "$(git rev-parse --is-shallow-repository)" = true ]; }
if { is_shallow || [ -z "$(release)" ]; } && git remote get-url origin >/dev/null 2>&1; then
    echo "no release is known here for sure: fetching the history and tags" >&2
    whole=()
    if is_shallow; then whole=(--unshallow); fi
    GIT_TERMINAL_PROMPT=0 timeout "$FETCH_SECONDS_MAX" git fetch --quiet "${whole[@]}" --tags origin || true
fi
release="$(release)"
if is_shallow && [ -z "$release" ]; then
    printf '*** %s\n' "WARNING: BREAKING CHANGES WERE NOT LOOKED FOR. This clone is shallow and has no tag of a release." \
        "Have it whole (git fetch --unshallow --tags; in CI a depth of 0), and run $0 again." >&2
elif [ -z "$release" ]; then
    echo "no release is tagged here: nothing to compare with"
elif ! git cat-file -e "$release:openapi/openapi.json" 2>/dev/null; then
    echo "$release has no document: nothing to compare with"
else
    echo "compared with $release:"
    python3 -B "$here/document/breaking.py" <(git show "$release:openapi/openapi.json") openapi/openapi.json
fi
