#!/usr/bin/env bash
# Checks the Helm chart and the IAM policies: see check.py. `--update` writes anew what is made from other files.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
exec "$here/python.sh" "$here/check.py" "$@"
