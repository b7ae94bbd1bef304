//! How long stored shards have been missing from the listings. One listing proves nothing: a listing can be behind.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::id::ShardId;

/// Two complete listings this far apart, both without it, say that the stream has forgotten a shard.
const APART: Duration = Duration::from_secs(60);

/// The stored shards that the last complete listing did not name, with the first listing in a row that did not.
///
/// Kept by whoever lists, in memory: when another takes over, the count starts anew, which costs only time.
#[derive(Debug, Default)]
pub(super) struct Absences(BTreeMap<ShardId, Instant>);

impl Absences {
    /// Takes in a complete listing, made at `mono`.
    pub(super) fn update<'a>(&mut self, stored: impl Iterator<Item = &'a ShardId>, listed: &BTreeSet<&ShardId>, mono: Instant) {
        let mut before = std::mem::take(&mut self.0);
        let absent = stored.filter(|shard| !listed.contains(shard));
        self.0 = absent.map(|shard| (shard.clone(), before.remove(shard).unwrap_or(mono))).collect();
    }

    /// Whether the listing just taken in and an early enough one before it were both without the shard, and all between them.
    pub(super) fn is_gone(&self, shard: &ShardId, mono: Instant) -> bool {
        self.0.get(shard).is_some_and(|since| mono.saturating_duration_since(*since) >= APART)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::shard_id;

    #[test]
    fn a_shard_is_gone_after_two_listings_without_it_a_minute_apart() {
        let (start, (a, b)) = (Instant::now(), (shard_id("a"), shard_id("b")));
        let mut absences = Absences::default();
        let mut list = |listed: &[&ShardId], second: u64| {
            let mono = start + Duration::from_secs(second);
            absences.update([&a, &b].into_iter(), &listed.iter().copied().collect(), mono);
            (absences.is_gone(&a, mono), absences.is_gone(&b, mono))
        };
        assert_eq!(list(&[&b], 0), (false, false), "one listing proves nothing");
        assert_eq!(list(&[&b], 59), (false, false), "nor do two that are close together");
        assert_eq!(list(&[&b], 60), (true, false));
        assert_eq!(list(&[&a, &b], 90), (false, false), "it was there all the time");
        assert_eq!(list(&[], 120), (false, false));
        assert_eq!(list(&[&a], 180), (false, true), "the count starts anew");
    }
}
