#!/usr/bin/env bash
# Runs a command with TIDEMARK_TEST_DYNAMODB leading to a fresh DynamoDB Local, and ends that afterwards:
#
#     tests/dynamodb-local.sh cargo test --workspace --test it
#
# DynamoDB Local comes from an npm package that carries a copy of it, is kept under target/, and needs Java 17 or newer.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"

package=amplify-dynamodb-simulator
version=2.9.30
sha256=3503ffac19f183407909fecdacf4db51ab1fdad1da7b2f177016670b2d80e4b9
home="$root/target/dynamodb-local/$version"

. "$root/tests/need.sh"

fetch() {
    need npm nodejs npm
    local parts="$home.parts"
    rm -rf "$parts"
    mkdir -p "$parts"
    npm pack --silent --pack-destination "$parts" "$package@$version" >&2
    echo "$sha256  $parts/$package-$version.tgz" | sha256sum --check --quiet >&2
    tar -xzf "$parts/$package-$version.tgz" -C "$parts"
    # Moved into place last, so that a fetch cut short is not taken for a whole one.
    mv "$parts/package/emulator" "$home"
    rm -rf "$parts"
}

answers() {
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null
}

need java openjdk-17-jre-headless
[ -d "$home" ] || fetch

port=$((20000 + RANDOM % 10000))
while answers; do port=$((port + 1)); done

log="$home/$port.log"
cd "$home"
DDB_LOCAL_TELEMETRY=0 java -Djava.library.path=DynamoDBLocal_lib -jar DynamoDBLocal.jar -inMemory -port "$port" >"$log" 2>&1 &
emulator=$!
trap 'kill "$emulator" 2>/dev/null || true; wait "$emulator" || true; rm -f "$log"' EXIT
cd "$OLDPWD"

for _ in $(seq 120); do
    answers && break
    kill -0 "$emulator" 2>/dev/null || { cat "$log" >&2; exit 1; }
    sleep 0.5
done
answers || { echo "DynamoDB Local does not answer after a minute" >&2; cat "$log" >&2; exit 1; }

TIDEMARK_TEST_DYNAMODB="http://127.0.0.1:$port" "$@"
