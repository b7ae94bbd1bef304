//! `tidemark-ingest`, in the pace of tests: what takes days between attempts takes seconds. Its clock can be wrong. Otherwise it is the
//! worker as it ships.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::process::ExitCode;

use jiff::SignedDuration;
use tidemark_ingest::{Ingest, Settings, WebhookSettings};
use tidemark_runtime::process::{self, Failure, Process};
use tidemark_runtime::settings::Vars;
use tidemark_runtime::{aws, clock, definitions};
use tidemark_tests::deployment::{CLOCK_AHEAD_SECONDS, PACE};

#[tokio::main]
async fn main() -> ExitCode {
    process::exit_code(run().await)
}

async fn run() -> Result<(), Failure> {
    // As the worker does: two processes of one name must not draw the same incarnation.
    fastrand::seed(RandomState::new().build_hasher().finish());
    let vars = Vars::from_process();
    if let Some(ahead) = vars.get(CLOCK_AHEAD_SECONDS).map_err(Failure::wrong_use)? {
        clock::shift(SignedDuration::from_secs(ahead.parse().map_err(Failure::wrong_use)?));
    }
    let settings = Settings::read(&vars).map_err(Failure::wrong_use)?;
    let settings = Settings { webhooks: WebhookSettings { pace: PACE, ..settings.webhooks }, ..settings };
    let file = definitions::read(Path::new(&settings.definitions), "TIDEMARK_DEFINITIONS").map_err(Failure::wrong_use)?;
    let process = Process::open("tidemark-ingest", &vars, settings.admin_addr).await?;
    let aws = aws::from_environment().await.map_err(Failure::wrong_use)?;
    let working = process.run(Ingest::start(&aws, &settings, &file), async |ingest, health, stop| {
        ingest.run(health, stop).await;
        Ok(())
    });
    Box::pin(working).await
}
