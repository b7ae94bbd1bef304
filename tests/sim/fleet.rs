//! The workers of one schedule: processes of one name that come and go.

use std::sync::Arc;
use std::time::Duration;

use aws_types::SdkConfig;
use tidemark_domain::Definitions;
use tidemark_ingest::{Ingest, Settings};
use tidemark_runtime::health::Health;
use tidemark_tests::{Wire, deployment, oracle};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::network::{Line, Network};

/// How often a dispatcher looks at each of its slots. What it would find there is no part of this: each look costs as much as a commit.
const DISPATCHER_LOOK: Duration = Duration::from_secs(30);

/// A worker that does not start is started again after this.
const RESTART: Duration = Duration::from_millis(300);

/// All workers.
#[derive(Debug)]
pub(crate) struct Fleet {
    wire: Wire,
    network: Arc<Network>,
    settings: Settings,
    seed: u64,
    started: u64,
    running: Vec<Process>,
    /// Asked to stop.
    leaving: Vec<Process>,
}

#[derive(Debug)]
struct Process {
    line: Arc<Line>,
    stop: CancellationToken,
    task: JoinSet<()>,
}

impl Fleet {
    pub(crate) fn new(wire: &Wire, network: &Arc<Network>, lease_ttl: Duration, seed: u64) -> Self {
        let mut settings = Settings { lease_ttl, ..deployment::settings() };
        settings.webhooks.pace.look = DISPATCHER_LOOK;
        let (wire, network) = (wire.clone(), Arc::clone(network));
        Self { wire, network, settings, seed, started: 0, running: Vec::new(), leaving: Vec::new() }
    }

    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    pub(crate) fn start(&mut self) {
        self.started += 1;
        let line = Line::new(&self.network, self.seed, self.started);
        let (stop, mut task) = (CancellationToken::new(), JoinSet::new());
        task.spawn(live(line.wire(&self.wire).config(), self.settings.clone(), stop.clone()));
        self.running.push(Process { line, stop, task });
    }

    /// Asks a worker to stop, as SIGTERM does.
    pub(crate) fn stop(&mut self, index: usize) {
        if let Some(process) = self.take(index) {
            process.stop.cancel();
            self.leaving.push(process);
        }
    }

    /// Ends a worker in the middle of whatever it does, as SIGKILL does.
    pub(crate) async fn crash(&mut self, index: usize) {
        if let Some(mut process) = self.take(index) {
            process.task.shutdown().await;
        }
    }

    pub(crate) fn freeze(&self, index: usize, span: Duration) {
        if !self.running.is_empty() {
            self.running[index % self.running.len()].line.freeze(span);
        }
    }

    /// Stops all workers and waits for them.
    pub(crate) async fn end(&mut self) {
        while self.running() > 0 {
            self.stop(0);
        }
        for mut process in self.leaving.drain(..) {
            while let Some(ended) = process.task.join_next().await {
                ended.expect("no worker panics");
            }
        }
    }

    fn take(&mut self, index: usize) -> Option<Process> {
        let index = index.checked_rem(self.running.len())?;
        Some(self.running.remove(index))
    }
}

async fn live(config: SdkConfig, settings: Settings, stop: CancellationToken) {
    let definitions = Definitions::parse(oracle::DEFINITIONS).expect("the oracle's definitions");
    loop {
        match Box::pin(Ingest::start(&config, &settings, &definitions)).await {
            Ok(ingest) => return ingest.run(Health::starting(), stop).await,
            // The process ends, and whoever looks after it starts it again.
            Err(_) if stop.is_cancelled() => return,
            Err(_) => sleep(RESTART).await,
        }
    }
}
