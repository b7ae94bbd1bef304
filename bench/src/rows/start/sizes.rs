//! How large the binaries are as images carry them, and the images themselves where they can be built.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::process::Command;

use crate::lab::Lab;
use crate::process::binary;
use crate::row::{Endpoint, Row, Unit};

/// The binaries, and what `deploy/images.sh` strips of each.
const BINARIES: [(&str, &str); 3] =
    [("tidemark-ingest", "--strip-debug"), ("tidemark-api", "--strip-debug"), ("tidemark", "--strip-all")];
const IMAGES: &str = "deploy/images.sh";
/// The certificates that images.sh packs. It would install what is missing; a measurement installs nothing.
const ROOTS: &str = "/usr/share/ca-certificates/mozilla";
/// Longest the images may take.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) async fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    if !runs("strip").await {
        eprintln!("         sizes of binaries are left out: there is no strip (binutils)");
        return Ok(Vec::new());
    }
    let images = if lab.quick { BTreeMap::new() } else { images().await };
    let mut rows = Vec::new();
    for (name, option) in BINARIES {
        let folder = tempfile::tempdir()?;
        let stripped = folder.path().join(name);
        let status = Command::new("strip").args([option, "-o"]).arg(&stripped).arg(binary(name)?).status().await?;
        anyhow::ensure!(status.success(), "strip {option} {name} fails");
        let megabytes = std::fs::metadata(&stripped).context("the stripped binary")?.len() as f64 / 1e6;
        let what = format!("{name}, stripped as in its image");
        let row = Row::new(format!("start.size.{name}"), what, Endpoint::None, Unit::Megabytes, vec![megabytes]);
        rows.push(match images.get(name) {
            Some(image) => row.with("image, unpacked", Unit::Megabytes, *image),
            None => row,
        });
    }
    Ok(rows)
}

/// The size of each image, in MB. None where they cannot be built, and then says why.
async fn images() -> BTreeMap<String, f64> {
    let there = Path::new(IMAGES).is_file() && Path::new(ROOTS).is_dir() && runs("buildah").await;
    let built = if there { build().await } else { Err(anyhow::anyhow!("they need {IMAGES}, {ROOTS} and buildah")) };
    built.unwrap_or_else(|error| {
        eprintln!("         sizes of images are left out: {error:#}");
        BTreeMap::new()
    })
}

async fn build() -> anyhow::Result<BTreeMap<String, f64>> {
    let into = tempfile::tempdir()?;
    let own = std::env::current_exe()?;
    let mut command = Command::new(IMAGES);
    command.arg("--any-size").arg("--binaries").arg(own.parent().context("a directory")?).arg("--into").arg(into.path());
    let output = tokio::time::timeout(PATIENCE, command.stdin(Stdio::null()).kill_on_drop(true).output()).await;
    let output = output.with_context(|| format!("{IMAGES} takes longer than {PATIENCE:?}"))??;
    anyhow::ensure!(output.status.success(), "{IMAGES} fails: {}", String::from_utf8_lossy(&output.stderr).trim());
    let sizes = sizes(&String::from_utf8_lossy(&output.stdout));
    anyhow::ensure!(sizes.len() == BINARIES.len(), "{IMAGES} printed no sizes");
    Ok(sizes)
}

/// The lines of the table that images.sh prints: a name and MB.
fn sizes(printed: &str) -> BTreeMap<String, f64> {
    let line = |line: &str| {
        let (name, size) = line.trim().split_once(' ')?;
        Some((name.to_owned(), size.trim().parse().ok()?))
    };
    printed.lines().filter_map(line).collect()
}

/// Whether a command is there.
async fn runs(command: &str) -> bool {
    let mut version = Command::new(command);
    version.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    version.status().await.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_the_table_of_the_images() {
        let printed = "image                  MB\ntidemark-api         37.2\ntidemark-ingest      36.9\n";
        let expected = [("tidemark-api", 37.2), ("tidemark-ingest", 36.9)].map(|(name, size)| (name.to_owned(), size));
        assert_eq!(sizes(printed), BTreeMap::from(expected));
    }
}
