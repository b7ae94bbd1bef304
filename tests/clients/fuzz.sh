#!/usr/bin/env bash
# Requests that schemathesis makes up from the committed document, against a live `tidemark dev` with its sample shop: first with a
# tenant's key, then with the operator's. No answer is a 5xx, and each has a status, headers, type and body that the document says.
#
#     FUZZ_EXAMPLES=500 FUZZ_SEED=7 fuzz.sh
#
# schemathesis is kept under target/clients, as is what it found. Python 3.11 or newer is installed where it is missing, if that may be.
# TIDEMARK names a `tidemark` that is not to be built first.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
cd "$here/../.."
. "$here/tools.sh"
# Made up for each operation in each phase; more for a longer run.
examples="${FUZZ_EXAMPLES:-25}"
# The same seed makes up the same requests, but for ids.
seed="${FUZZ_SEED:-$RANDOM}"
# Below the 100 writes a second that a tenant has in `tidemark dev`: 429s are no news.
rate=90/s
checks=not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance

# With a key as its argument: what live.py runs.
if [ $# = 1 ]; then
    document="$PWD/openapi/openapi.json"
    export FUZZ_KEY="${!1}" SCHEMATHESIS_HOOKS=ids PYTHONPATH="$here/fuzz" PYTHONDONTWRITEBYTECODE=1
    # It leaves files where it runs.
    mkdir -p target/clients/fuzzed
    cd target/clients/fuzzed
    # Whoever asks where the other belongs is refused, which a test over every route and scope holds; more of that shows no more.
    case "$1" in
        OPERATOR) paths='^/v1/admin/' ;;
        *) paths='^/v1/(?!admin/)' ;;
    esac
    "$FUZZ_PYTHON" "$(dirname "$FUZZ_PYTHON")/schemathesis" --no-color run "$document" --url "$API_URL" --include-path-regex "$paths" \
        --header "Authorization: Bearer $FUZZ_KEY" --checks "$checks" --max-examples "$examples" --seed "$seed" --rate-limit "$rate" \
        --continue-on-failure --warnings off --report ndjson --report-ndjson-path "$1.ndjson"
    exec "$FUZZ_PYTHON" "$here/fuzz/figures.py" "$document" "$paths" "$1.ndjson"
fi

need_python
kept fuzz "$here/fuzz"
build_tidemark
echo "seed $seed, $examples examples"
FUZZ_PYTHON="$home/venv/bin/python" FUZZ_SEED="$seed" python3 -B "$here/live.py" "$tidemark" sample \
    "python3 -B $here/fuzz/things.py" "$here/fuzz.sh KEY" "$here/fuzz.sh OPERATOR"
