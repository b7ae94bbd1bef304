//! What requests with made-up keys may cost: each would be a read of the database.
//!
//! A key that the deployment has signed is always looked up, because no client can make up one. So is a key without a signature that was
//! good a moment ago. A key that was refused a moment ago is refused from memory. All other keys share one bucket of look-ups, so a flood
//! of made-up keys delays only keys without a signature that this process has not seen yet.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::time::Duration;

use lru::LruCache;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::bucket::{Bucket, Rate};
use super::locked;
use crate::instruments::{self, Limit};
use crate::problem::ApiError;

/// Look-ups of unknown keys that fail, by all clients together.
const LOOK_UPS: Rate = Rate { per_second: 50, burst: 500 };
/// Most keys without a signature that are remembered as good, and most keys that are remembered as refused: 32 bytes each and a little.
const REMEMBERED_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");
/// How long a refusal is remembered. No key that was refused ever becomes good, unless a table is restored.
const REFUSAL_LASTS: Duration = Duration::from_secs(60);

type Hash = [u8; 32];

/// Who has knocked.
#[derive(Debug)]
pub(crate) struct Strangers(Mutex<State>);

#[derive(Debug)]
struct State {
    look_ups: Bucket,
    good: LruCache<Hash, ()>,
    refused: LruCache<Hash, (Instant, &'static str)>,
}

/// A key about to be looked up.
#[derive(Debug)]
#[must_use = "tell how it ended"]
pub(crate) struct Knock<'a> {
    strangers: &'a Strangers,
    hash: Hash,
    fare: Fare,
}

/// How a look-up is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fare {
    /// The key is signed.
    Free,
    /// The key has no signature and was good when it was last looked up.
    Remembered,
    /// By one of the look-ups that made-up keys share.
    Share,
}

impl Default for Strangers {
    fn default() -> Self {
        let (good, refused) = (LruCache::new(REMEMBERED_MAX), LruCache::new(REMEMBERED_MAX));
        Self(Mutex::new(State { look_ups: Bucket::default(), good, refused }))
    }
}

impl Strangers {
    /// To be asked before a key is looked up.
    ///
    /// # Errors
    /// `unauthenticated` for a key that was just refused, `rate_limited` when too many unknown ones are tried.
    pub(crate) fn knock(&self, presented: &str, is_signed: bool) -> Result<Knock<'_>, ApiError> {
        let (now, hash) = (Instant::now(), Sha256::digest(presented).into());
        let mut state = locked(&self.0);
        if let Some((at, why)) = state.refused.get(&hash)
            && now.duration_since(*at) < REFUSAL_LASTS
        {
            return Err(ApiError::Unauthenticated(why));
        }
        let knock = |fare| Knock { strangers: self, hash, fare };
        if is_signed {
            return Ok(knock(Fare::Free));
        }
        if state.good.get(&hash).is_some() {
            return Ok(knock(Fare::Remembered));
        }
        match state.look_ups.take(LOOK_UPS, now).wait {
            Some(wait) => {
                instruments::limited(Limit::Stranger);
                Err(ApiError::RateLimited(wait))
            }
            None => Ok(knock(Fare::Share)),
        }
    }
}

impl Knock<'_> {
    /// The key is good.
    pub(crate) fn welcomed(self) {
        if self.fare == Fare::Free {
            return;
        }
        let mut state = locked(&self.strangers.0);
        state.good.put(self.hash, ());
        if self.fare == Fare::Share {
            state.look_ups.give_back(LOOK_UPS, Instant::now());
        }
    }

    /// The key was looked up, and is refused for this reason.
    pub(crate) fn refused(self, why: &'static str) {
        let mut state = locked(&self.strangers.0);
        state.good.pop(&self.hash);
        state.refused.put(self.hash, (Instant::now(), why));
    }

    /// Nothing was looked up, or it is not known how that ended.
    pub(crate) fn unanswered(self) {
        if self.fare == Fare::Share {
            locked(&self.strangers.0).look_ups.give_back(LOOK_UPS, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn made_up_keys_run_out_of_look_ups_and_shut_out_no_key_that_was_good() {
        let strangers = Strangers::default();
        strangers.knock("good", false).expect("there is room").welcomed();
        exhaust(&strangers);
        assert!(matches!(strangers.knock("one more", false).map(|_| ()), Err(ApiError::RateLimited(_))));
        assert!(matches!(strangers.knock("bad 7", false).map(|_| ()), Err(ApiError::Unauthenticated(_))), "a refusal is free");
        strangers.knock("good", false).expect("it was good").welcomed();
        tokio::time::advance(Duration::from_secs(1)).await;
        for number in 0..LOOK_UPS.per_second {
            strangers.knock(&format!("new {number}"), false).expect("a second has passed").unanswered();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn made_up_keys_shut_out_no_signed_key_that_was_never_seen() {
        let strangers = Strangers::default();
        exhaust(&strangers);
        for number in 0..10 * LOOK_UPS.burst {
            strangers.knock(&format!("signed {number}"), true).expect("a signed key costs no share").welcomed();
        }
        assert!(strangers.knock("unsigned", false).is_err(), "signed keys give no share back that they have not taken");
        strangers.knock("signed 0", true).expect("a signed key costs no share").refused("deleted");
        assert!(matches!(strangers.knock("signed 0", true).map(|_| ()), Err(ApiError::Unauthenticated("deleted"))));
    }

    /// Uses up all look-ups, each by a made-up key.
    fn exhaust(strangers: &Strangers) {
        for number in 0..LOOK_UPS.burst {
            strangers.knock(&format!("bad {number}"), false).expect("there is room").refused("no such key");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_revoked_is_refused_from_then_on_and_for_a_minute_from_memory() {
        let strangers = Strangers::default();
        strangers.knock("key", false).expect("there is room").welcomed();
        strangers.knock("key", false).expect("it was good").refused("revoked");
        assert!(strangers.knock("key", false).is_err());
        tokio::time::advance(REFUSAL_LASTS).await;
        strangers.knock("key", false).expect("it is looked up again").refused("revoked");
    }
}
