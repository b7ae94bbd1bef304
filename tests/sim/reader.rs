//! A reader of all numbers, as the API is one: the watermark first, then the rows, consistently. Its reads are judged at the end.
//!
//! It goes past the network, so that it changes nothing for the workers, and reads at times that follow from the seed.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tidemark_runtime::clock;
use tidemark_streams::Streams;
use tidemark_tests::deployment::tables;
use tidemark_tests::judge::Read;
use tidemark_tests::oracle;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::plan::Retention;
use crate::schedule::World;

/// From one read to the next, in ms. Each is a scan: with these, the reads of a schedule take a twentieth of its real time.
const PAUSE_MS: RangeInclusive<u64> = 50..=3_000;

/// A reader at work.
#[derive(Debug)]
pub(crate) struct Reader {
    reads: Arc<Mutex<Vec<Read>>>,
    task: JoinSet<()>,
}

impl Reader {
    pub(crate) fn start(world: &World, seed: u64) -> Self {
        let config = world.wire.config();
        let (streams, client) = (Streams::new(&config, tables().control), world.client.clone());
        let (reads, mut random) = (Arc::<Mutex<Vec<Read>>>::default(), StdRng::seed_from_u64(seed.rotate_left(48)));
        // The history that a schedule trims is seconds old. Where a worker has read nothing of a shard yet, it goes by AWS's 24 hours, and
        // does not notice.
        let is_kept = world.retention == Retention::Kept;
        let (all, mut task) = (Arc::clone(&reads), JoinSet::new());
        task.spawn(async move {
            loop {
                sleep(Duration::from_millis(random.random_range(PAUSE_MS))).await;
                let begun_at = clock::now();
                let known = streams.table_watermark(oracle::TABLE).await.expect("the control table can be read");
                let cells = oracle::stored_by(&client).await;
                all.lock().unwrap().push(Read {
                    begun_at,
                    answered_at: clock::now(),
                    watermark: known.and_then(|known| known.watermark),
                    exact: is_kept && known.is_some_and(|known| known.exact),
                    cells,
                    complete: BTreeSet::new(),
                });
            }
        });
        Self { reads, task }
    }

    /// Ends it. What it has read.
    pub(crate) fn end(mut self) -> Vec<Read> {
        assert!(self.task.try_join_next().is_none(), "nothing but this ends the reader");
        std::mem::take(&mut *self.reads.lock().unwrap())
    }
}
