//! Carries one plan out, in a world of its own on the calling thread, and has it judged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidemark_domain::{TenantId, Zone};
use tidemark_runtime::clock;
use tidemark_store::{NewTenant, Store, TenantRates};
use tidemark_streams::Streams;
use tidemark_tests::deployment::{item_of, tables};
use tidemark_tests::judge::Writes;
use tidemark_tests::oracle::{Cells, stock};
use tidemark_tests::{Shards, Wire, oracle};
use tokio::time::sleep;

use crate::fleet::Fleet;
use crate::history::{self, Change, ZONES};
use crate::hostile::Hostile;
use crate::network::Network;
use crate::plan::{Plan, Retention, Step, WORKERS_MAX};
use crate::reader::Reader;
use crate::trace::Sent;
use crate::{storm, verdict};

/// Longest way of a call, and of its answer, while everything settles.
const CALM_WAY_MAX: Duration = Duration::from_millis(5);

/// A world in the middle of a schedule.
pub(crate) struct World {
    pub(crate) network: Arc<Network>,
    pub(crate) shards: Shards,
    /// Of each child its parent.
    pub(crate) parents: BTreeMap<String, String>,
    /// Past the network.
    pub(crate) wire: Wire,
    /// Past the network.
    pub(crate) client: aws_sdk_dynamodb::Client,
    pub(crate) streams: Streams,
    pub(crate) retention: Retention,
    /// Every change of the source so far.
    pub(crate) history: stock::History,
    /// The same, for the judge of reads.
    pub(crate) writes: Writes,
    fleet: Fleet,
}

/// What a schedule that went well has to tell.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) calls: Vec<Sent>,
    /// How often lost history was stepped over.
    pub(crate) gaps: usize,
    /// The longest time until a change of a tenant was visible while the hostile one did its worst.
    pub(crate) slowest: Duration,
}

/// # Panics
/// When an invariant does not hold.
pub(crate) fn run(plan: &Plan) -> Report {
    // Jitter and incarnations of the worker, and all that the SDK draws.
    fastrand::seed(plan.seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let wire = Wire::start(plan.shards, plan.seed, history::beginning());
        let _time = clock::simulate({
            let wire = wire.clone();
            move || wire.now()
        });
        let mut world = World::start(wire, plan).await;
        let hostile = Hostile::start(&world, plan.seed, &plan.hostility);
        let reader = Reader::start(&world, plan.seed);
        for (pause, step) in &plan.steps {
            sleep(*pause).await;
            world.make(step).await;
        }
        hostile.end();
        world.network.calm(CALM_WAY_MAX);
        world.fleet.start();
        verdict::settled(&world).await;
        let slowest = storm::pass(&mut world, plan).await;
        world.network.calm(CALM_WAY_MAX);
        verdict::settled(&world).await;
        world.fleet.end().await;
        world.network.drained().await;
        verdict::check(&world).await;
        verdict::check_reads(&world, &reader.end());
        let Network { ledger, trace, .. } = &*world.network;
        Report { calls: trace.lock().unwrap().take(), gaps: ledger.lock().unwrap().gaps(), slowest }
    })
}

impl World {
    async fn start(wire: Wire, plan: &Plan) -> Self {
        let (store, streams) = (Store::new(&wire.config(), tables()), Streams::new(&wire.config(), tables().control));
        store.create_data_table().await.unwrap();
        streams.create_control_table().await.unwrap();
        streams.create_source_table(oracle::TABLE, "id", None).await.unwrap();
        for (tenant, zone) in ZONES {
            let zone = Some(Zone::named(zone).unwrap());
            let new =
                NewTenant { id: TenantId::new(tenant).unwrap(), name: None, zone, currency: None, rates: TenantRates::default() };
            store.create_tenant(&new, clock::now()).await.unwrap();
        }
        let network = Network::new(plan.weather);
        let mut fleet = Fleet::new(&wire, &network, plan.lease_ttl, plan.seed);
        (0..plan.workers).for_each(|_| fleet.start());
        let (shards, client) = (wire.shards(oracle::TABLE), aws_sdk_dynamodb::Client::new(&wire.config()));
        let (parents, history, writes) = (BTreeMap::new(), Vec::new(), Writes::default());
        Self { network, shards, parents, wire, client, streams, retention: plan.retention, history, writes, fleet }
    }

    async fn make(&mut self, step: &Step) {
        match step {
            Step::Write(changes) => {
                for change in changes {
                    self.write(change).await;
                }
            }
            Step::Rotate(index) => {
                let open = self.shards.open().await;
                self.rotate(&open[index % open.len()]).await;
            }
            Step::RotateAll => {
                for shard in self.shards.open().await {
                    self.rotate(&shard).await;
                }
            }
            Step::Split(index) => {
                let open = self.shards.open().await;
                let shard = &open[index % open.len()];
                if !Step::may_split(open.len()) {
                    return self.rotate(shard).await;
                }
                for child in self.shards.split(shard).await {
                    self.parents.insert(child, shard.clone());
                }
            }
            Step::Start if self.fleet.running() >= WORKERS_MAX => {}
            Step::Start => self.fleet.start(),
            Step::Stop(index) => self.fleet.stop(*index),
            Step::Crash(index) => self.fleet.crash(*index).await,
            Step::Freeze(index, span) => self.fleet.freeze(*index, *span),
            Step::Stall(span) => self.network.stall(*span),
            Step::Forget(span) => self.network.forget(*span),
            Step::Trim(index, count) => {
                let all = self.shards.all().await;
                self.shards.trim(&all[index % all.len()], *count).await;
            }
        }
    }

    async fn rotate(&mut self, shard: &str) {
        let child = self.shards.rotate(shard).await;
        self.parents.insert(child, shard.to_owned());
    }

    pub(crate) async fn write(&mut self, change: &Change) {
        let (Change::Put(attributes) | Change::Delete(attributes)) = change;
        let item = item_of(attributes);
        let id = item["id"].as_s().unwrap().clone();
        let contribution = match change {
            Change::Put(_) => oracle::expected(std::slice::from_ref(&item), &BTreeMap::from(ZONES), clock::now()),
            Change::Delete(_) => Cells::new(),
        };
        self.writes.begin(&id, contribution, clock::now());
        match change {
            Change::Put(_) => {
                self.client.put_item().table_name(oracle::TABLE).set_item(Some(item.clone())).send().await.unwrap();
                self.history.push((id.clone(), Some(item)));
            }
            Change::Delete(_) => {
                self.client.delete_item().table_name(oracle::TABLE).set_key(Some(item)).send().await.unwrap();
                self.history.push((id.clone(), None));
            }
        }
        self.writes.acknowledge(&id, clock::now());
    }
}

/// Waits until a condition holds, in virtual time.
///
/// # Panics
/// When it does not within the deadline.
pub(crate) async fn until(what: &str, deadline: Duration, mut condition: impl AsyncFnMut() -> bool) {
    // A look costs real time, waiting does not: so this looks less often than `wait_until` does.
    const LOOK: Duration = Duration::from_millis(250);
    let looks = deadline.as_millis() / LOOK.as_millis();
    for _ in 0..looks {
        if condition().await {
            return;
        }
        sleep(LOOK).await;
    }
    panic!("{what}: not within {deadline:?} of virtual time");
}
