//! `tidemark-api`: the API as a process.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tidemark_api::{API_ADDR, Api, SETTINGS, Settings, openapi};
use tidemark_runtime::process::{self, Failure, Process};
use tidemark_runtime::settings::deployment::DEFINITIONS;
use tidemark_runtime::settings::{self, Vars};
use tidemark_runtime::{aws, definitions, listen};
use tokio::net::TcpListener;

/// Serves the numbers that tidemark-ingest keeps, over HTTP.
///
/// Exit codes: 0 stopped as asked, 1 failure, 2 usage or settings error.
#[derive(Debug, Parser)]
#[command(name = "tidemark-api", version, after_help = settings::help(&SETTINGS))]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the OpenAPI document.
    Openapi,
}

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(Command::Openapi) = Options::parse().command {
        let written = io::stdout().write_all(openapi::json().as_bytes());
        return process::exit_code(written.map_err(Failure::from));
    }
    process::exit_code(run().await)
}

async fn run() -> Result<(), Failure> {
    let vars = Vars::from_process();
    let settings = Settings::read(&vars).map_err(Failure::wrong_use)?;
    let process = Process::open("tidemark-api", &vars, settings.admin_addr).await?;
    let working = process.run(start(&settings), async |(api, listener), health, stop| {
        health.ready();
        api.serve(listener, stop).await;
        Ok(())
    });
    Box::pin(working).await
}

async fn start(settings: &Settings) -> Result<(Api, TcpListener), Failure> {
    let file = definitions::read(Path::new(&settings.definitions), DEFINITIONS.name).map_err(Failure::wrong_use)?;
    let listener = listen::listen(settings.api_addr, API_ADDR.name).await?;
    tracing::info!(addr = %listener.local_addr()?, "the API listens");
    let aws = aws::from_environment().await.map_err(Failure::wrong_use)?;
    Ok((Api::start(&aws, settings, &file).await?, listener))
}
