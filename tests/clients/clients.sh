#!/usr/bin/env bash
# Clients for TypeScript and Python: generated from the committed document, type-checked, and used by programs that run README's
# walk-through, and then the rest of the API, against a live `tidemark dev`.
#
#     clients.sh [DOCUMENT]
#
# Tools and clients are kept under target/clients: the clients in target/clients/generated, nothing in them edited by hand. Python 3.11 and
# Node 20.19 or newer are installed where they are missing, if that may be. TIDEMARK names a `tidemark` that is not to be built first.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
cd "$here/../.."
. "$here/tools.sh"
document="$(realpath "${1:-openapi/openapi.json}")"
generated="$PWD/target/clients/generated"
need_python
need_node
rm -rf "$generated"
mkdir -p "$generated"/{typescript,python}

kept typescript "$here/typescript"
cp "$here"/typescript/{*.ts,tsconfig.json,package.json} "$generated/typescript"
# Node and tsc look for packages beside the file that imports them.
ln -s "$home/node_modules" "$generated/typescript/node_modules"
# A field with a default may be left out of a request.
node "$home/node_modules/openapi-typescript/bin/cli.js" "$document" --default-non-nullable=false \
    --output "$generated/typescript/tidemark.d.ts" >/dev/null
node "$home/node_modules/typescript/bin/tsc" --project "$generated/typescript"
echo "typescript: generated and type-checked"

kept python "$here/python"
python="$home/venv/bin/python -B"
# What the generator leaves out it only warns of; a client with holes is none.
$python -m openapi_python_client generate --path "$document" --meta none --config "$here/python/config.yaml" --fail-on-warning \
    --output-path "$generated/python/tidemark_client"
export PYTHONPATH="$generated/python"
MYPYPATH="$PYTHONPATH" $python -m mypy --strict --no-error-summary --cache-dir "$generated/mypy" \
    --package tidemark_client
MYPYPATH="$PYTHONPATH" $python -m mypy --strict --no-error-summary --cache-dir "$generated/mypy" "$here"/python/*.py
echo "python: generated and type-checked"

build_tidemark
for walk in orders:definitions/orders-by-item.yaml shop:definitions/retail.yaml; do
    # Each client finds an API to which nothing has happened.
    python3 -B "$here/live.py" "$tidemark" "${walk#*:}" "node $generated/typescript/build/${walk%%:*}.js"
    python3 -B "$here/live.py" "$tidemark" "${walk#*:}" "$python $here/python/${walk%%:*}.py"
done
