//! The dispatcher: fans events out to the endpoints that want them, delivers, and does the longer work of alerts.
//!
//! ```text
//! slot (each that is ours): looks at what is due ─┬─ event → a delivery for each endpoint
//!                                                 ├─ job   → rules judged anew, deliveries sent again, alerts repeated
//!                                                 └─ delivery → one exchange → delivered, again later, or given up
//! ```
//!
//! What is to be done much later, and old news that is held, lies apart: it is looked at once a second, and has its turn with the rest
//! when its time has come.
//!
//! One tenant's work never takes the room of another's. Events and jobs are queued by tenant and deliveries by endpoint, so whatever there
//! is too much of is passed over by one read (`look`); and each kind of work has one pool of the process that tenants share (`share`).
//!
//! Everything to be done is an item in the table that says when it is due; nothing is known here that is not written there. Work is
//! claimed by moving that instant on (`store::due`), so a dispatcher that dies leaves work that comes due by itself, and two that look
//! at one slot for a moment get in each other's way, but never do each other's work twice.

mod deliver;
mod endpoints;
mod event;
mod health;
mod hold;
mod instruments;
mod job;
mod look;
mod pace;
mod room;
mod share;
mod slot;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use tidemark_runtime::clock;
use tidemark_runtime::health::Health;
use tidemark_runtime::process::chain;
use tidemark_store::{Slot, Store};
use tidemark_streams::Streams;
use tidemark_webhooks::event::BodyError;
use tidemark_webhooks::policy::UrlPolicy;
use tidemark_webhooks::resolve::SystemResolver;
use tidemark_webhooks::seal::SealingKeys;
use tidemark_webhooks::send::Sender;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::pace::Pace;

use self::deliver::OurSide;
use self::endpoints::Endpoints;
use self::hold::Holds;
use self::instruments::Instruments;
use self::job::RulesReader;
use self::room::Room;
use self::slot::{Pools, SlotTask};
use crate::settings::Settings;
use crate::stock::StockReader;
use crate::supervisor::{PANIC_PAUSE, STALLED};
use crate::wake::Wake;

/// Why a piece of work was not done. Whatever it is, the work comes due again at its claim's end.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Store(#[from] tidemark_store::Error),
    #[error(transparent)]
    Streams(#[from] tidemark_streams::Error),
    #[error(transparent)]
    Body(#[from] BodyError),
}

/// What all work of a dispatcher shares.
#[derive(Debug)]
struct Dispatch {
    store: Store,
    holds: Holds,
    /// For jobs.
    rules: RulesReader,
    sender: Sender,
    keys: SealingKeys,
    endpoints: Endpoints,
    room: Room,
    pools: Pools,
    our_side: OurSide,
    wake: Wake,
    pace: Pace,
    instruments: Instruments,
    /// Nothing is begun any more.
    stop: CancellationToken,
}

/// A dispatcher that is ready to run.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    dispatch: Arc<Dispatch>,
    mine: watch::Receiver<BTreeSet<Slot>>,
}

impl Dispatcher {
    /// A dispatcher for those slots that `mine` says; `wake` tells of news in them. `stock` is what the shards decide levels by.
    pub(crate) fn new(
        store: &Store,
        streams: &Streams,
        settings: &Settings,
        (stock, wake): (Arc<StockReader>, Wake),
        mine: watch::Receiver<BTreeSet<Slot>>,
    ) -> Self {
        let webhooks = &settings.webhooks;
        let policy = UrlPolicy::new(webhooks.allow.clone(), webhooks.deny.clone());
        let sender =
            Sender::new(policy, Arc::new(SystemResolver::within(webhooks.pace.timeouts.resolve)), env!("CARGO_PKG_VERSION"));
        let dispatch = Dispatch {
            holds: Holds::new(streams.clone(), settings.alert_max_age),
            sender: sender.with_timeouts(webhooks.pace.timeouts),
            keys: SealingKeys::new(&webhooks.keys.current, webhooks.keys.previous.as_deref()),
            endpoints: Endpoints::new(store.clone()),
            rules: RulesReader::new(store.clone(), stock),
            store: store.clone(),
            room: Room::default(),
            pools: Pools::default(),
            our_side: OurSide::default(),
            wake,
            pace: webhooks.pace,
            instruments: Instruments::default(),
            stop: CancellationToken::new(),
        };
        Self { dispatch: Arc::new(dispatch), mine }
    }

    /// Dispatches until asked to stop; then it begins nothing more and waits for what is under way, which takes 20 seconds at most.
    pub(crate) async fn run(mut self, health: Health, stop: CancellationToken) {
        let bells: BTreeMap<Slot, Arc<Notify>> = Slot::all().map(|slot| (slot, Arc::default())).collect();
        let (mut slots, mut slot_of) = (JoinSet::new(), HashMap::new());
        for (slot, bell) in &bells {
            slot_of.insert(slots.spawn(self.task(*slot, bell, &health)).id(), *slot);
        }
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                // Not each slot for itself: a `watch` wakes those that wait for it in an order of chance, and a simulation has none.
                // A supervisor that is gone says nothing more; the stop follows.
                Ok(()) = self.mine.changed() => bells.values().for_each(|bell| bell.notify_one()),
                told = self.dispatch.wake.changed() => told.iter().for_each(|slot| bells[slot].notify_one()),
                Some(ended) = slots.join_next_with_id() => {
                    // Only a panic ends one before the stop. Its slot begins anew, knowing nothing.
                    let Err(panicked) = ended else { continue };
                    tracing::error!(error = %chain(&panicked), "looking at a slot panicked; it begins anew");
                    self.dispatch.instruments.panicked();
                    let slot = slot_of.remove(&panicked.id()).expect("every task is a slot's");
                    let task = self.task(slot, &bells[&slot], &health);
                    let again = slots.spawn(async move {
                        tokio::time::sleep(PANIC_PAUSE).await;
                        task.await;
                    });
                    slot_of.insert(again.id(), slot);
                }
            }
        }
        self.dispatch.stop.cancel();
        while slots.join_next().await.is_some() {}
    }

    /// A slot's work, watched.
    fn task(&self, slot: Slot, bell: &Arc<Notify>, health: &Health) -> impl Future<Output = ()> + Send + use<> {
        let progress = health.watch("slot", STALLED);
        let task = SlotTask::new(slot, self.dispatch.clone(), self.mine.clone(), bell.clone());
        progress.clone().around(task.run(progress))
    }
}

impl Dispatch {
    /// When what is claimed now comes due again by itself.
    fn claim_end(&self) -> Timestamp {
        clock::now() + self.pace.claim
    }
}
