//! `tidemark-ingest`: the worker as a process.

use std::process::ExitCode;

use clap::Parser;
use tidemark_domain::Definitions;
use tidemark_ingest::{Ingest, SETTINGS, Settings};
use tidemark_runtime::health::Health;
use tidemark_runtime::settings::deployment::ADMIN_ADDR;
use tidemark_runtime::settings::{self, Vars};
use tidemark_runtime::telemetry::{self, LogFormat};
use tidemark_runtime::{admin, aws, listen, shutdown};
use tokio_util::sync::CancellationToken;

/// Consumes the streams of source tables and keeps exact aggregates in Tidemark's table.
#[derive(Debug, Parser)]
#[command(name = "tidemark-ingest", version, after_help = settings::help(&SETTINGS))]
struct Options {}

#[tokio::main]
async fn main() -> ExitCode {
    let Options {} = Options::parse();
    let vars = Vars::from_process();
    let telemetry = telemetry::init("tidemark-ingest", LogFormat::of_stderr(), &vars);
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

async fn run(settings: &Settings, definitions: &Definitions, telemetry: &telemetry::Telemetry) -> anyhow::Result<()> {
    let stop = shutdown::on_signal()?;
    let listener = listen::listen(settings.admin_addr, ADMIN_ADDR.name).await?;
    let health = Health::starting();
    let probes = CancellationToken::new();
    let serving = admin::serve(listener, health.clone(), telemetry.registry().clone(), probes.clone());
    let working = async {
        let config = aws::from_environment().await?;
        let ingest = Ingest::start(&config, settings, definitions).await?;
        ingest.run(health, stop).await;
        probes.cancel();
        anyhow::Ok(())
    };
    // Probes answer until the very end of the drain.
    let (worked, ()) = tokio::join!(async { working.await.inspect_err(|_| probes.cancel()) }, serving);
    worked
}
