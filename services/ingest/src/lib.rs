//! The worker: consumes the streams of source tables and commits what they change, exactly once.
//!
//! ```text
//! supervisor ── a task per held shard ─────────────────────────────────────────────────────┐
//!        fetch (reads ahead) → pending → effect (old and new image) → fold, stock → commit │
//! ```
//!
//! A batch's effects and its shard's position are one transaction (`commit`), so stopping at any instant loses and repeats
//! nothing; everything held in memory can be read again.

mod by_tenant;
mod commit;
mod concerned;
mod dispatch;
mod effect;
mod fetch;
mod fold;
mod instruments;
mod known;
mod pause;
mod pending;
mod pool;
mod settings;
mod shard;
mod sources;
mod stock;
mod supervisor;
mod trouble;
mod values;
mod wake;
mod zones;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use aws_types::SdkConfig;
use tidemark_domain::{Definitions, Running, SourceName};
use tidemark_runtime::aws::calls;
use tidemark_runtime::clock::{self, SkewWatch};
use tidemark_runtime::health::Health;
use tidemark_runtime::process::chain;
use tidemark_store::{AdoptError, RunningDefinitions, Store};
use tidemark_streams::{Streams, Worker, WorkerConfig};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use crate::commit::{Committer, Error as CommitError, FullRows, Outcome, Step};
pub use crate::dispatch::Pace;
pub use crate::effect::{Effect, Effects, LevelChange};
pub use crate::fold::Fold;
pub use crate::instruments::Instruments;
pub use crate::settings::{ALL as SETTINGS, Settings, WebhookSettings};
pub use crate::sources::Error as SourcesError;
pub use crate::stock::{Stock, StockReader, Undecidable, Writing};
pub use crate::zones::Zones;

use crate::commit::Backoff;
use crate::dispatch::Dispatcher;
use crate::fetch::Budget;
use crate::pause::PauseSwitch;
use crate::pool::{Pool, PoolTask};
use crate::shard::Shared;
use crate::supervisor::Supervisor;
use crate::trouble::Troubles;
use crate::values::Values;
use crate::wake::Wake;

/// How often a start is tried that meets others.
const START_TRIES: usize = 8;

/// Why a worker does not start. Each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] tidemark_store::Error),
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    #[error(transparent)]
    Sources(#[from] SourcesError),
    #[error(transparent)]
    Streams(#[from] tidemark_streams::Error),
}

impl Error {
    /// Whether it is a matter of the moment: others were writing the same items, or asking too much, or credentials could not be loaded.
    fn is_momentary(&self) -> bool {
        let of_streams = |error: &tidemark_streams::Error| {
            use tidemark_streams::Error;
            matches!(
                error,
                Error::Conflict { .. }
                    | Error::Throttled { .. }
                    | Error::Server { .. }
                    | Error::TimedOut { .. }
                    | Error::CredentialsUnavailable { .. }
            )
        };
        match self {
            Self::Store(error) | Self::Adopt(AdoptError::Store(error)) => {
                use tidemark_store::Error;
                matches!(error, Error::Throttled(_) | Error::Server(_) | Error::CredentialsUnavailable(_))
            }
            Self::Sources(SourcesError::Unasked { source, .. }) | Self::Streams(source) => of_streams(source),
            Self::Adopt(_) | Self::Sources(SourcesError::Unfit(_)) => false,
        }
    }
}

/// A worker that is ready to run.
#[derive(Debug)]
pub struct Ingest {
    supervisor: Supervisor,
    dispatcher: Dispatcher,
    pool_task: PoolTask,
}

impl Ingest {
    /// Checks tables and sources, adopts the definition file, and joins the workers.
    ///
    /// # Errors
    /// When something that the worker needs is missing or contradicts what runs.
    pub async fn start(aws: &SdkConfig, settings: &Settings, file: &Definitions) -> Result<Self, Error> {
        let calls = calls::interceptor();
        let store = Store::new(aws, settings.tables.clone()).with_interceptor(calls.clone());
        let streams = Streams::new(aws, settings.tables.control.clone()).with_interceptor(calls);
        let Joined { running, sources, worker } = join(&store, &streams, settings, file).await?;
        tracing::info!(worker = %worker.id(), definitions = running.version, "worker started");
        let (instruments, pause_switch, troubles) = (Instruments::default(), PauseSwitch::default(), Troubles::default());
        let (wake, slots) = (Wake::default(), watch::Sender::new(BTreeSet::new()));
        let stock = Arc::new(StockReader::new(store.clone()));
        let shared_with_shards = (stock.clone(), wake.clone());
        let dispatcher = Dispatcher::new(&store, &streams, settings, shared_with_shards, slots.subscribe());
        let committer = Committer::new(store.clone(), streams.clone(), instruments.clone());
        let (pool, pool_task) = Pool::new(store.clone(), committer);
        let shared = Shared {
            streams,
            pool,
            zones: Arc::new(Zones::new(store.clone())),
            values: Arc::new(Values::new(store.clone())),
            stock,
            wake,
            alert_max_age: settings.alert_max_age,
            definitions: RunningDefinitions::new(store, running),
            budget: Budget::default(),
            instruments,
            flush_interval: settings.flush_interval,
            pause: pause_switch.subscribe(),
        };
        let supervisor = Supervisor {
            shared,
            worker,
            sources,
            shards: JoinSet::new(),
            pipelines: HashMap::new(),
            pause_switch,
            troubles,
            skew_watch: SkewWatch::default(),
            slots,
        };
        Ok(Self { supervisor, dispatcher, pool_task })
    }

    /// Works until asked to stop; then commits what is folded, releases its shards and leaves.
    pub async fn run(self, health: Health, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        tasks.spawn(self.pool_task.run());
        let mut dispatching = JoinSet::new();
        dispatching.spawn(self.dispatcher.run(health.clone(), stop.clone()));
        let dispatched = async {
            while let Some(ended) = dispatching.join_next().await {
                // Slots begin anew by themselves. Without whoever starts them no webhook would go out, and nobody would be told.
                if let Err(Ok(panicked)) = ended.map_err(JoinError::try_into_panic) {
                    std::panic::resume_unwind(panicked);
                }
            }
        };
        // The dispatcher is asked to stop together with the shards, and has less time than they have.
        tokio::join!(self.supervisor.run(health, stop), dispatched);
        // Nobody commits any more, so there is nothing left for it to do.
        tasks.shutdown().await;
    }
}

/// What a worker knows when it has joined the others.
struct Joined {
    running: Running,
    /// By their tables.
    sources: HashMap<String, SourceName>,
    worker: Worker,
}

/// Joins the workers, more than once if need be: where many start at once they meet in the tables, and a worker that would not start
/// for that would be missed until somebody starts it again. All that joining writes may be written twice.
async fn join(store: &Store, streams: &Streams, settings: &Settings, file: &Definitions) -> Result<Joined, Error> {
    let mut backoff = Backoff::default();
    for _ in 1..START_TRIES {
        match join_once(store, streams, settings, file).await {
            Err(error) if error.is_momentary() => {
                tracing::warn!(error = %chain(&error), "the worker cannot start yet; trying again");
            }
            joined => return joined,
        }
        backoff.wait().await;
    }
    join_once(store, streams, settings, file).await
}

async fn join_once(store: &Store, streams: &Streams, settings: &Settings, file: &Definitions) -> Result<Joined, Error> {
    store.verify_tables().await?;
    // Before the file is adopted: a start that is refused must not have changed what runs.
    let mut tables = HashMap::new();
    sources::describe(streams, file, &mut tables).await?;
    let adopted = store.adopt(file, clock::now()).await?;
    for warning in &adopted.warnings {
        tracing::warn!("{warning}");
    }
    let described = sources::describe(streams, &adopted.running.definitions(), &mut tables).await?;
    let sources = described.iter().map(|(name, stream)| (stream.id.table().to_owned(), name.clone())).collect();
    let config = WorkerConfig { name: settings.worker_id.clone(), lease_ttl: settings.lease_ttl, start: settings.start };
    let described = described.into_iter().map(|(_, stream)| stream).collect();
    // Its answers have told DynamoDB's time by now: a start at the present moment must not lie in the future.
    let now = streams.now_or(clock::now());
    let worker = Worker::start(streams.clone(), config, described, now, Instant::now()).await?;
    Ok(Joined { running: adopted.running, sources, worker })
}
