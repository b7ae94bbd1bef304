#!/usr/bin/env bash
# What must hold of the committed document, openapi/openapi.json: the linter's rules of openapi/redocly.yaml, and that no program written
# for the last release's document breaks on this one: see document/breaking.py. That it is the generated one, a test of tidemark-api holds.
#
# The linter is kept under target/clients. Python 3.11 and Node 20.19 or newer are installed where they are missing, if that may be.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
cd "$here/../.."
. "$here/tools.sh"
need_python
need_node
need git 'command -v git' git

kept document "$here/document"
REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true \
    node "$home/node_modules/@redocly/cli/bin/cli.js" lint --config openapi/redocly.yaml openapi/openapi.json

python3 -B "$here/document/breaking_test.py" --quiet
release="$(git tag --merged HEAD --list 'v*' --sort=-version:refname | head -n 1)"
if [ -z "$release" ]; then
    echo "no release is tagged here: nothing to compare with"
elif ! git cat-file -e "$release:openapi/openapi.json" 2>/dev/null; then
    echo "$release has no document: nothing to compare with"
else
    echo "compared with $release:"
    python3 -B "$here/document/breaking.py" <(git show "$release:openapi/openapi.json") openapi/openapi.json
fi
