//! Finds the workspace's own binaries, for tests that run them as processes.

use std::path::PathBuf;

/// The path of a binary that Cargo has built in the profile of the running test.
///
/// Cargo names another package's binaries to no test, and builds a package's binaries in `cargo test` only when that package has
/// an integration test. So each package with a binary has one (`tests/` beside its `src/`), and `cargo test --workspace` has
/// built all of them before the first test runs. `cargo test -p tidemark-tests` alone builds none: it runs those of last time.
///
/// # Panics
/// When there is no such file.
pub(crate) fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running test knows its own path");
    // target/<profile>/deps/it-<hash>
    let profile = test.parent().and_then(|deps| deps.parent()).expect("Cargo puts tests into target/<profile>/deps");
    let path = profile.join(name).with_extension(std::env::consts::EXE_EXTENSION);
    assert!(path.is_file(), "{} is not built; run `cargo test --workspace --no-run` first", path.display());
    path
}
