//! One test's world: a DynamoDB of its own, and a front before it.

use std::path::PathBuf;
use std::sync::Arc;

use aws_types::SdkConfig;
use tidemark_runtime::{aws, clock};
use tokio::task::JoinSet;

use crate::binary::binary;
use crate::emulator::Emulator;
use crate::front::{Front, Workload};
use crate::origin::Origin;
use crate::stream_front::{Shards, StreamFront};

/// The variable that has the seed of a world with shards. A test that fails prints it.
const SEED: &str = "TIDEMARK_WORLD_SEED";

/// An isolated DynamoDB with a [`Front`] before it. What is tested goes through the front, as a workload with its policy
/// ([`World::config_of`], [`World::variables_of`]) or as somebody who may do anything ([`World::config`], [`World::variables`]); the
/// test's own preparation and checks go past it ([`World::dynamodb`]), unharmed and uncounted.
///
/// Everything ends when the world is dropped. A scripted fault that has not happened by then fails the test: it was meant to prove
/// something. So does a call that the policy of `deploy/iam` did not allow to the workload that made it, and one that exceeds AWS's
/// limits.
pub struct World {
    emulator: Emulator,
    front: Front,
    direct: SdkConfig,
    config: SdkConfig,
    /// Serves the streams in place of the emulator, if the world was started so.
    streams: Option<Arc<StreamFront>>,
    /// What the shards' ids and ends are drawn by.
    seed: u64,
    /// The emulator's and the front's servers; dropping the set ends them.
    _servers: JoinSet<()>,
}

impl World {
    /// A new, empty world.
    ///
    /// # Panics
    /// When its servers cannot be started.
    pub async fn start() -> Self {
        Self::start_on(None).await
    }

    /// A new, empty world whose streams have shards that rotate, split and vanish as [`World::shards`] commands; each begins with
    /// so many. Past the front too they are what the streams consist of.
    ///
    /// # Panics
    /// When its servers cannot be started.
    pub async fn start_with_shards(shards: usize) -> Self {
        Self::start_on(Some(shards)).await
    }

    async fn start_on(shards: Option<usize>) -> Self {
        let mut servers = JoinSet::new();
        let emulator = Emulator::start(&mut servers).await.expect("an emulator starts");
        let origin = Origin::at(&emulator.url, &emulator.access_key).expect("an HTTP client");
        let seed = seed();
        let streams = shards.map(|shards| StreamFront::new(origin, Arc::new(clock::now), shards, seed));
        let front = Front::start(&emulator.url, streams.clone(), &mut servers).await.expect("a front starts");
        let direct = match &streams {
            None => emulator.url.clone(),
            // A second entrance to the same streams, where nothing happens to a call.
            Some(_) => Front::start(&emulator.url, streams.clone(), &mut servers).await.expect("a front starts").url(),
        };
        Self {
            direct: aws::at_endpoint(&direct, &emulator.access_key),
            config: aws::at_endpoint(&front.url(), &emulator.access_key),
            emulator,
            front,
            streams,
            seed,
            _servers: servers,
        }
    }

    /// The shards of a table's stream.
    ///
    /// # Panics
    /// When the world was not started with shards; later, when the table has no stream.
    pub fn shards(&self, table: &str) -> Shards {
        self.streams.as_ref().expect("a world started with shards").shards(table)
    }

    /// The SDK configuration for what is tested: through the front.
    pub fn config(&self) -> SdkConfig {
        self.config.clone()
    }

    /// The SDK configuration of a workload: through the front, and only what its policy allows.
    pub fn config_of(&self, workload: Workload) -> SdkConfig {
        aws::at_endpoint(&self.front.url(), &workload.access_key(&self.emulator.access_key))
    }

    /// The SDK configuration for preparation and checks: past the front.
    pub fn direct_config(&self) -> SdkConfig {
        self.direct.clone()
    }

    /// The URL of the front.
    pub fn endpoint(&self) -> String {
        self.front.url()
    }

    pub fn front(&self) -> &Front {
        &self.front
    }

    /// The variables that lead a process of Tidemark's into this world, through the front.
    pub fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL", self.front.url()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", self.emulator.access_key.clone()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ]
    }

    /// The variables that lead a workload's process into this world, through the front, and allow it what its policy does.
    pub fn variables_of(&self, workload: Workload) -> [(&'static str, String); 4] {
        let of_workload = |(name, value): (&'static str, String)| match name {
            "AWS_ACCESS_KEY_ID" => (name, workload.access_key(&value)),
            _ => (name, value),
        };
        self.variables().map(of_workload)
    }

    /// The test's own client of the tables, past the front.
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.direct)
    }

    /// The test's own client of the streams, past the front.
    pub fn streams(&self) -> aws_sdk_dynamodbstreams::Client {
        aws_sdk_dynamodbstreams::Client::new(&self.direct)
    }

    /// The path of one of the workspace's binaries, in the profile of the running test. `cargo test --workspace` builds them all,
    /// `cargo test -p tidemark-tests` none.
    ///
    /// # Panics
    /// When it is not built, or older than one of its sources.
    pub fn binary(name: &str) -> PathBuf {
        binary(name)
    }
}

/// The seed of [`SEED`], or else a random one.
#[allow(clippy::disallowed_methods, reason = "a replay by hand is asked for by a variable")]
fn seed() -> u64 {
    let given = std::env::var(SEED).ok();
    given.map_or_else(rand::random, |text| text.parse().unwrap_or_else(|_| panic!("{SEED} is a whole number, not `{text}`")))
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() && self.streams.is_some() {
            eprintln!("the shards of this world again: {SEED}={}", self.seed);
        }
        let (pending, refused) = (self.front.pending_faults(), self.front.wrongly_refused());
        let beyond = self.front.beyond_limits();
        // A second panic while the first unwinds would abort the whole run and hide the first.
        if !std::thread::panicking() {
            assert!(refused.is_empty(), "the policies of deploy/iam allow too little: {refused:#?}");
            assert!(beyond.is_empty(), "a workload sent what AWS refuses: {beyond:#?}");
            assert!(pending.is_empty(), "these scripted faults never happened: {pending:?}");
        }
    }
}
