//! Finds the workspace's own binaries, for tests that run them as processes, and refuses those that are older than their sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// The path of a binary that Cargo has built in the profile of the running test.
///
/// Cargo names another package's binaries to no test, and builds a package's binaries in `cargo test` only when that package has
/// an integration test. So each package with a binary has one (`tests/` beside its `src/`), and `cargo test --workspace` has
/// built all of them before the first test runs. `cargo test -p tidemark-tests` builds none: the binaries are those of the last build of
/// the workspace, and a test on old binaries proves nothing.
///
/// # Panics
/// When there is no such file, or it is older than one of its sources.
pub(crate) fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running test knows its own path");
    // target/<profile>/deps/it-<hash>
    let deps = test.parent().expect("Cargo puts tests into target/<profile>/deps");
    let profile = deps.parent().expect("Cargo puts tests into target/<profile>/deps");
    let path = profile.join(name).with_extension(std::env::consts::EXE_EXTENSION);
    assert!(path.is_file(), "{} is not built; run `cargo test --workspace --no-run` first", path.display());
    let sources = sources(&path, deps, &crates_of(packages(), name)).unwrap_or_else(|unknown| {
        panic!("{} lists no sources of {unknown}; run `cargo test --workspace --no-run` first", deps.display())
    });
    assert!(
        !sources.is_empty(),
        "{} has no list of {name}'s sources; run `cargo test --workspace --no-run` first",
        deps.display()
    );
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace has this package in a folder");
    if let Some(source) = newer_than(&path, sources.iter().map(|source| root.join(source))) {
        let (path, source) = (path.display(), source.display());
        panic!("{path} is older than {source}, or that is gone; run `cargo test --workspace --no-run` first");
    }
    path
}

/// The packages of the workspace.
fn packages() -> &'static [Package] {
    static PACKAGES: OnceLock<Vec<Package>> = OnceLock::new();
    PACKAGES.get_or_init(|| {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        MetadataCommand::new().manifest_path(manifest).no_deps().exec().expect("cargo knows the workspace").packages
    })
}

/// The library crates of the workspace that a binary is linked of.
fn crates_of(packages: &[Package], binary: &str) -> BTreeSet<String> {
    let has_binary = |package: &&Package| package.targets.iter().any(|target| target.is_bin() && target.name == binary);
    let mut linked: Vec<&Package> = packages.iter().filter(has_binary).collect();
    let mut met = 0;
    while let Some(package) = linked.get(met) {
        let needed = package.dependencies.iter().filter(|needed| needed.kind != DependencyKind::Development);
        let needed: Vec<&Package> =
            packages.iter().filter(|other| needed.clone().any(|needed| needed.name == *other.name)).collect();
        for package in needed {
            if linked.iter().all(|known| known.name != package.name) {
                linked.push(package);
            }
        }
        met += 1;
    }
    let libraries = linked.iter().flat_map(|package| &package.targets).filter(|target| target.is_lib());
    libraries.map(|target| target.name.replace('-', "_")).collect()
}

/// The sources of a binary, relative to the workspace, from the dep-info that rustc writes for each crate: `<crate>-<hash>.d`.
///
/// Units of tests have such files, too, and list modules that no binary has. A library's own is that whose output is a `lib<crate>-…`; a
/// binary's is that beside the file of which Cargo has made a second link.
///
/// # Errors
/// With the name of a crate that has no such file.
fn sources(binary: &Path, deps: &Path, libraries: &BTreeSet<String>) -> Result<BTreeSet<String>, String> {
    let mut sources = BTreeSet::new();
    for library in libraries {
        let is_own = |info: &DepInfo| info.outputs().any(|output| output.contains(&format!("/lib{library}-")));
        let newest = DepInfo::all(deps, library).into_iter().filter(is_own).max_by_key(|info| modified(&info.path));
        sources.extend(newest.ok_or_else(|| library.clone())?.sources());
    }
    let stem = binary.file_stem().and_then(|name| name.to_str()).unwrap_or_default().replace('-', "_");
    let is_linked = |info: &DepInfo| {
        let file = info.path.with_extension(std::env::consts::EXE_EXTENSION);
        modified(&file).is_some() && modified(&file) == modified(binary)
    };
    let own = DepInfo::all(deps, &stem).into_iter().find(is_linked).ok_or(stem)?;
    sources.extend(own.sources());
    Ok(sources)
}

/// What a compiled crate was made of, in the language of make.
struct DepInfo {
    path: PathBuf,
    text: String,
}

impl DepInfo {
    /// All of a crate: one for each kind of unit, and for each set of features it was built with.
    fn all(deps: &Path, name: &str) -> Vec<Self> {
        let is_of = |file: &str| {
            let hash = file.strip_prefix(name).and_then(|rest| rest.strip_prefix('-')).and_then(|rest| rest.strip_suffix(".d"));
            hash.is_some_and(|hash| !hash.contains('-'))
        };
        let files = fs::read_dir(deps).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        let files = files.filter(|path| path.file_name().and_then(|file| file.to_str()).is_some_and(is_of));
        files.filter_map(|path| Some(Self { text: fs::read_to_string(&path).ok()?, path })).collect()
    }

    fn outputs(&self) -> impl Iterator<Item = &str> {
        self.text.lines().filter_map(|line| Some(line.split_once(": ")?.0))
    }

    /// The sources, from the first `output: source source`.
    fn sources(&self) -> Vec<String> {
        let of_first = self.text.lines().next().and_then(|line| line.split_once(": ")).map_or("", |(_, sources)| sources);
        // A space within a name has a backslash before it.
        let names = of_first.replace("\\ ", "\0");
        names.split_whitespace().map(|name| name.replace('\0', " ")).collect()
    }
}

/// The first source that was changed after the binary was built, or is gone.
fn newer_than(binary: &Path, sources: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    let built = modified(binary);
    sources.into_iter().find(|source| modified(source).is_none_or(|changed| Some(changed) > built))
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A file that was changed so many seconds after a beginning.
    fn file(path: &Path, text: &str, seconds: u64) {
        fs::write(path, text).unwrap();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds);
        fs::File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
    }

    #[test]
    fn a_binary_is_as_old_as_the_sources_of_what_is_linked() {
        let folder = tempfile::tempdir().unwrap();
        let (root, deps) = (folder.path(), folder.path().join("deps"));
        fs::create_dir(&deps).unwrap();
        let binary = root.join("tide-x");
        for of_build in [&binary, &deps.join("tide_x-1"), &deps.join("tide_x-2")] {
            file(of_build, "", 10);
        }
        file(&deps.join("tide_x-2"), "", 99);
        let dep_info = |name: &str, output: &str, sources: &str, seconds| {
            let text = format!("/t/deps/{name}.d: {sources}\n\n/t/deps/{output}: {sources}\n\nmain.rs:\n\n# env-dep:X=1\n");
            file(&deps.join(name).with_extension("d"), &text, seconds);
        };
        dep_info("tide_x-1", "tide_x-1", "main.rs", 10);
        dep_info("tide_x-2", "tide_x-2", "main.rs tests.rs", 99);
        dep_info("lib_a-1", "liblib_a-1.rlib", "gone.rs", 5);
        dep_info("lib_a-2", "liblib_a-2.rlib", "a.rs with\\ space.rs", 9);
        dep_info("lib_a-3", "lib_a-3", "a.rs tests.rs", 99);
        dep_info("lib_b-1", "liblib_b-1.rlib", "b.rs", 9);
        let sources_of = |library: &str| sources(&binary, &deps, &BTreeSet::from([library.to_owned()]));
        assert_eq!(sources_of("lib_c"), Err("lib_c".to_owned()));
        let sources = sources_of("lib_a").unwrap();
        assert_eq!(sources, ["a.rs", "main.rs", "with space.rs"].map(str::to_owned).into());

        let newer = || newer_than(&binary, sources.iter().map(|source| root.join(source)));
        for source in &sources {
            file(&root.join(source), "", 10);
        }
        assert_eq!(newer(), None);
        for source in &sources {
            file(&root.join(source), "", 11);
            assert_eq!(newer(), Some(root.join(source)));
            fs::remove_file(root.join(source)).unwrap();
            assert_eq!(newer(), Some(root.join(source)));
            file(&root.join(source), "", 9);
        }
        assert_eq!(newer(), None);
    }

    #[test]
    fn a_workload_is_not_linked_of_the_other_nor_of_what_tests_use() {
        let crates = crates_of(packages(), "tidemark-api");
        assert!(["tidemark_api", "tidemark_domain", "tidemark_dynamo"].iter().all(|name| crates.contains(*name)), "{crates:?}");
        assert!(["tidemark_ingest", "tidemark_tests"].iter().all(|name| !crates.contains(*name)), "{crates:?}");
        assert!(crates_of(packages(), "hasty-ingest").contains("tidemark_tests"));
    }
}
