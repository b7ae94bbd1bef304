//! `tidemark-api`: the API as a process.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tidemark_api::{API_ADDR, Api, SETTINGS, Settings, openapi};
use tidemark_domain::Definitions;
use tidemark_runtime::health::Health;
use tidemark_runtime::settings::deployment::ADMIN_ADDR;
use tidemark_runtime::settings::{self, Vars};
use tidemark_runtime::telemetry::{self, LogFormat, Telemetry};
use tidemark_runtime::{admin, aws, listen, shutdown};
use tokio_util::sync::CancellationToken;

/// Serves the numbers that tidemark-ingest keeps, over HTTP.
#[derive(Debug, Parser)]
#[command(name = "tidemark-api", version, after_help = settings::help(&SETTINGS))]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints the OpenAPI document and ends.
    Openapi,
}

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(Command::Openapi) = Options::parse().command {
        print!("{}", openapi::json());
        return ExitCode::SUCCESS;
    }
    let vars = Vars::from_process();
    let telemetry = telemetry::init("tidemark-api", LogFormat::of_stderr(), &vars);
    let (settings, definitions) = match configure(&vars) {
        Ok(configured) => configured,
        Err(problem) => {
            eprintln!("error: {problem:#}");
            return ExitCode::from(2);
        }
    };
    match Box::pin(run(&settings, &definitions, &telemetry)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(1)
        }
    }
}

fn configure(vars: &Vars) -> anyhow::Result<(Settings, Definitions)> {
    let settings = Settings::read(vars)?;
    let path = &settings.definitions;
    let text = std::fs::read_to_string(path).map_err(|error| anyhow::anyhow!("TIDEMARK_DEFINITIONS: {path}: {error}"))?;
    let definitions = Definitions::parse(&text).map_err(|invalid| anyhow::anyhow!("{path} has problems:\n{invalid}"))?;
    Ok((settings, definitions))
}

async fn run(settings: &Settings, definitions: &Definitions, telemetry: &Telemetry) -> anyhow::Result<()> {
    let stop = shutdown::on_signal()?;
    let admin_listener = listen::listen(settings.admin_addr, ADMIN_ADDR.name).await?;
    let listener = listen::listen(settings.api_addr, API_ADDR.name).await?;
    let health = Health::starting();
    let probes = CancellationToken::new();
    let probing = admin::serve(admin_listener, health.clone(), telemetry.registry().clone(), probes.clone());
    let working = async {
        let api = Api::start(&aws::from_environment().await?, settings, definitions).await?;
        health.ready();
        let mut serving = std::pin::pin!(api.serve(listener, stop.clone()));
        tokio::select! {
            served = &mut serving => return Ok(served?),
            () = stop.cancelled() => health.not_ready("shutting down"),
        }
        Ok(serving.await?)
    };
    // Probes answer until the very end of the drain.
    let ended = async {
        let worked: anyhow::Result<()> = working.await;
        probes.cancel();
        worked
    };
    let (worked, ()) = tokio::join!(ended, probing);
    worked
}
