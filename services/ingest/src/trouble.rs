//! Trouble that comes back with every try: it is told when it begins, once a minute while it lasts, and when it is over.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use tokio::time::Instant;

/// What goes on is told again after this long.
const AGAIN: Duration = Duration::from_secs(60);
/// What has not been met for so long is over: whatever failed is tried again sooner, a look at the tables after a minute.
const OVER: Duration = Duration::from_secs(90);
/// Most troubles told apart. Beyond that, a new one is told each time.
const KNOWN_MAX: usize = 100;

/// The troubles there are, each by an error's own words. What is behind it may be worded anew each time: DynamoDB numbers requests.
#[derive(Debug, Default)]
pub(crate) struct Troubles(BTreeMap<String, Trouble>);

#[derive(Debug)]
struct Trouble {
    told_at: Instant,
    met_at: Instant,
    times: u64,
}

impl Troubles {
    /// An error was met; how often by now, if it is to be told.
    pub(crate) fn met(&mut self, error: &dyn Error, mono: Instant) -> Option<u64> {
        let words = error.to_string();
        if let Some(trouble) = self.0.get_mut(&words) {
            trouble.times += 1;
            trouble.met_at = mono;
            let is_due = mono.saturating_duration_since(trouble.told_at) >= AGAIN;
            return is_due.then(|| {
                trouble.told_at = mono;
                trouble.times
            });
        }
        if self.0.len() < KNOWN_MAX {
            self.0.insert(words, Trouble { told_at: mono, met_at: mono, times: 1 });
        }
        Some(1)
    }

    /// The troubles that are over, and how often each was met.
    pub(crate) fn over(&mut self, mono: Instant) -> Vec<(String, u64)> {
        let is_over = |_: &String, trouble: &mut Trouble| mono.saturating_duration_since(trouble.met_at) >= OVER;
        self.0.extract_if(.., is_over).map(|(words, trouble)| (words, trouble.times)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_told_when_it_begins_once_a_minute_and_when_it_is_over() {
        let start = Instant::now();
        let second = |second| start + Duration::from_secs(second);
        let (denied, slow) = (std::fmt::Error, "slow".parse::<u8>().unwrap_err());
        let mut troubles = Troubles::default();
        let told: Vec<_> = (0..=120).filter_map(|n| Some((n, troubles.met(&denied, second(n))?))).collect();
        assert_eq!(told, [(0, 1), (60, 61), (120, 121)]);
        assert_eq!(troubles.met(&slow, second(121)), Some(1), "another one is told at once");
        assert!(troubles.over(second(209)).is_empty());
        assert_eq!(troubles.over(second(210)), [(denied.to_string(), 121)]);
        assert_eq!(troubles.over(second(211)), [(slow.to_string(), 1)]);
        assert_eq!((troubles.met(&denied, second(212)), troubles.over(second(212)).len()), (Some(1), 0), "it begins anew");
    }
}
