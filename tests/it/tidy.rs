//! The rules that the layout of the workspace keeps: who may import whom, and how a file looks.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// Most lines of a Rust file.
const LINES_MAX: usize = 500;

/// Each package with those of ours that it may import. The services never import each other.
const LAYERS: &[(&str, &[&str])] = &[
    ("tidemark-domain", &[]),
    ("tidemark-dynamo", &[]),
    ("tidemark-streams", &["tidemark-domain", "tidemark-dynamo"]),
    ("tidemark-webhooks", &["tidemark-domain"]),
    ("tidemark-runtime", &["tidemark-domain"]),
    ("tidemark-store", &["tidemark-domain", "tidemark-dynamo"]),
    ("tidemark-ingest", LIBRARIES),
    ("tidemark-api", LIBRARIES),
    ("tidemark", ALL),
    ("tidemark-tests", ALL),
    ("tidemark-bench", &["tidemark-domain", "tidemark-runtime", "tidemark-store", "tidemark-tests"]),
];
const LIBRARIES: &[&str] = &["tidemark-domain", "tidemark-streams", "tidemark-webhooks", "tidemark-runtime", "tidemark-store"];
const ALL: &[&str] = &[
    "tidemark-domain",
    "tidemark-streams",
    "tidemark-webhooks",
    "tidemark-runtime",
    "tidemark-store",
    "tidemark-ingest",
    "tidemark-api",
];

/// Each crate that stops somewhere, as the start of its name, with the packages that may import it.
const BORDERS: &[(&str, &[&str])] = &[
    // The runtime measures calls by their inputs and outputs; it makes none.
    ("aws-sdk-", &["tidemark-runtime", "tidemark-streams", "tidemark-store", "tidemark-tests", "tidemark-bench"]),
    ("aws-config", &["tidemark-runtime"]),
    ("axum", &["tidemark-api", "tidemark-bench"]),
    ("utoipa", &["tidemark-api"]),
    ("dynoxide-rs", &["tidemark", "tidemark-tests", "tidemark-bench"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the workspace").to_owned()
}

fn packages() -> Vec<Package> {
    // Without dependencies nothing is resolved, so this needs no network and no lock file.
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap();
    metadata.packages
}

/// What a package's shipped code imports.
fn imports(package: &Package) -> BTreeSet<&str> {
    let shipped = |kind| matches!(kind, DependencyKind::Normal | DependencyKind::Build);
    package.dependencies.iter().filter(|dependency| shipped(dependency.kind)).map(|dependency| dependency.name.as_str()).collect()
}

/// Every Rust file of ours, with its text.
fn rust_files() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = ["crates", "services", "tests"].map(|folder| root().join(folder)).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !matches!(name.as_str(), "target" | "node_modules") {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path, text));
            }
        }
    }
    assert!(files.len() > 20, "the walk misses most files: {files:?}");
    files
}

#[test]
fn packages_import_only_what_is_below_them() {
    let mut faults = Vec::new();
    for package in packages() {
        let name = package.name.as_str();
        let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == name) else {
            faults.push(format!("{name} has no place in LAYERS"));
            continue;
        };
        let ours = imports(&package).into_iter().filter(|import| LAYERS.iter().any(|(layer, _)| layer == import));
        faults.extend(ours.filter(|import| !allowed.contains(import)).map(|import| format!("{name} imports {import}")));
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn foreign_crates_stop_at_their_border() {
    let mut faults = Vec::new();
    for package in packages() {
        let name = package.name.as_str();
        for import in imports(&package) {
            let border = BORDERS.iter().find(|(foreign, _)| import.starts_with(foreign));
            if border.is_some_and(|(_, allowed)| !allowed.contains(&name)) {
                faults.push(format!("{name} imports {import}"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn files_are_short_and_say_what_they_own() {
    let mut faults = Vec::new();
    for (path, text) in rust_files() {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            faults.push(format!("{}: {lines} lines, {LINES_MAX} allowed", path.display()));
        }
        if !text.starts_with("//! ") {
            faults.push(format!("{}: does not begin with `//!`", path.display()));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn nothing_is_left_for_later() {
    // In two parts each, so that this file does not find itself.
    let marks = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("FIX", "ME"), concat!("#[ig", "nore")];
    let mut faults = Vec::new();
    for (path, text) in rust_files() {
        let found = marks.iter().filter(|mark| text.contains(**mark));
        faults.extend(found.map(|mark| format!("{}: {mark}", path.display())));
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
