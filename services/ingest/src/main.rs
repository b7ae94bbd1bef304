//! `tidemark-ingest`: the worker as a process.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use tidemark_ingest::{Ingest, SETTINGS, Settings};
use tidemark_runtime::process::{self, Failure, Process};
use tidemark_runtime::settings::deployment::DEFINITIONS;
use tidemark_runtime::settings::{self, Vars};
use tidemark_runtime::{aws, definitions};

/// Consumes the streams of source tables and keeps exact aggregates in Tidemark's table.
///
/// Exit codes: 0 stopped as asked, 1 failure, 2 usage or settings error.
#[derive(Debug, Parser)]
#[command(name = "tidemark-ingest", version, after_help = settings::help(&SETTINGS))]
struct Options {}

#[tokio::main]
async fn main() -> ExitCode {
    let Options {} = Options::parse();
    process::exit_code(run().await)
}

async fn run() -> Result<(), Failure> {
    // The worker's incarnation is drawn on this thread, and two processes of one name must never draw the same.
    fastrand::seed(RandomState::new().build_hasher().finish());
    let vars = Vars::from_process();
    let settings = Settings::read(&vars).map_err(Failure::wrong_use)?;
    let process = Process::open("tidemark-ingest", &vars, settings.admin_addr).await?;
    let working = process.run(start(&settings), async |ingest, health, stop| {
        ingest.run(health, stop).await;
        Ok(())
    });
    Box::pin(working).await
}

async fn start(settings: &Settings) -> Result<Ingest, Failure> {
    let file = definitions::read(Path::new(&settings.definitions), DEFINITIONS.name).map_err(Failure::wrong_use)?;
    let aws = aws::from_environment().await.map_err(Failure::wrong_use)?;
    Ok(Ingest::start(&aws, settings, &file).await?)
}
