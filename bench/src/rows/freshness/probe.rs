//! One probe: a write whose way is timed, and the empty loop that it is compared with.

use std::time::Duration;

use anyhow::Context;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::Value;
use tidemark_tests::deployment::item_of;
use tokio::time::{Instant, sleep};

/// Longest that anything of a probe may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// The attribute that has a probe's mark. No definition names it.
const MARK: &str = "probe";

/// A write, before it is known when it was visible.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probe {
    /// When its PutItem was sent.
    pub(super) sent: Instant,
    /// How long after that a GetItem showed the item.
    pub(super) empty_loop: Duration,
}

/// A write that has become visible.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probed {
    /// From the PutItem on.
    pub(super) took: Duration,
    pub(super) empty_loop: Duration,
}

impl Probe {
    /// Writes an item, with a mark of its own, and reads it until it has the mark.
    pub(super) async fn put(client: &Client, table: &str, key: &Value, item: &Value) -> anyhow::Result<Self> {
        let (key, mark) = (item_of(key), AttributeValue::S(format!("{:032x}", rand::random::<u128>())));
        let put = client.put_item().table_name(table).set_item(Some(item_of(item))).item(MARK, mark.clone());
        let sent = Instant::now();
        put.send().await?;
        loop {
            let get = client.get_item().table_name(table).set_key(Some(key.clone())).consistent_read(true);
            if get.send().await?.item.is_some_and(|found| found.get(MARK) == Some(&mark)) {
                return Ok(Self { sent, empty_loop: sent.elapsed() });
            }
            anyhow::ensure!(sent.elapsed() < PATIENCE, "an item of {table} is not there after {PATIENCE:?}");
        }
    }

    /// The probe, seen at a moment.
    pub(super) fn seen(self, at: Instant) -> Probed {
        Probed { took: at.saturating_duration_since(self.sent), empty_loop: self.empty_loop }
    }
}

/// Each probe with the moment at which it was seen.
///
/// # Errors
/// When they are not as many.
pub(super) fn seen(probes: &[Probe], moments: &[Instant]) -> anyhow::Result<Vec<Probed>> {
    anyhow::ensure!(probes.len() == moments.len(), "{} of {} probes were seen", moments.len(), probes.len());
    Ok(probes.iter().zip(moments).map(|(probe, at)| probe.seen(*at)).collect())
}

/// Waits until a moment after a beginning.
pub(super) async fn until(begin: Instant, moment: Duration) {
    sleep(moment.saturating_sub(begin.elapsed())).await;
}

/// Moments of a span, in order: so many a second, and at least two. The span has as many parts of one length, and each part one moment at
/// random. So every phase of the intervals at which streams are read and answers are shared is met as often, and p50 varies little.
///
/// # Errors
/// When the span is empty.
pub(super) fn moments(per_second: f64, begin: Duration, end: Duration) -> anyhow::Result<Vec<Duration>> {
    let span = end.checked_sub(begin).filter(|span| !span.is_zero()).context("an empty span")?;
    let count = (span.as_secs_f64() * per_second).round().max(2.0) as usize;
    let part = span / count as u32;
    Ok((0..count).map(|index| begin + part.mul_f64(index as f64 + rand::random::<f64>())).collect())
}
