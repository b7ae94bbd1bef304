//! The issuer's keys as they are known here, and when it is asked for them again.
//!
//! An unknown key has the issuer asked, by whoever comes first and for all who wait, at most once a minute: so a flood of made-up keys
//! is none for the issuer. Known keys are asked for again when they are old, so that a key that was withdrawn stops being good; while
//! the issuer is silent, they are good for a day.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tidemark_runtime::process::chain;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::fetch::{self, Fetcher};
use super::keys::{Key, KeySet};

/// The issuer is asked no sooner than this after it was asked before.
const ASKED_EVERY: Duration = Duration::from_secs(60);
/// The same while there are no keys at all: without any, no token is good.
const ASKED_EVERY_AT_FIRST: Duration = Duration::from_secs(5);
/// Keys that are older are asked for again: so long a withdrawn key is good at most, while the issuer answers.
const FRESH_FOR: Duration = Duration::from_secs(10 * 60);
/// Keys that are older are good no more.
const GOOD_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// A task drives it, so it ends even if every request that waits for it is given up.
type Asking = Shared<BoxFuture<'static, Result<Arc<KeySet>, Arc<fetch::Error>>>>;

/// The keys of one issuer.
#[derive(Debug)]
pub(super) struct Keys {
    fetcher: Fetcher,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: Option<Known>,
    asking: Option<Asking>,
    asked_at: Option<Instant>,
    /// The last time came to nothing.
    failed: bool,
    /// One at a time.
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Known {
    keys: Arc<KeySet>,
    at: Instant,
}

/// Why there is no such key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoKey {
    /// The issuer has none of this id, as far as it may be asked.
    Unknown,
    /// The issuer does not say.
    Unavailable,
}

/// What there is to do about a key.
enum Look {
    Found(Key),
    Wait(Asking),
    Missing(NoKey),
}

impl Keys {
    pub(super) fn of(fetcher: Fetcher) -> Self {
        Self { fetcher, state: Mutex::new(State::default()) }
    }

    /// The key of this id.
    ///
    /// # Errors
    /// See [`NoKey`].
    pub(super) async fn find(&self, id: &str) -> Result<Key, NoKey> {
        // Waiting once settles it: then the issuer was asked a moment ago, and is not asked again.
        for _ in 0..2 {
            match self.look(id, Instant::now()) {
                Look::Found(key) => return Ok(key),
                Look::Missing(why) => return Err(why),
                // How it ended is in the state for the next look.
                Look::Wait(asking) => drop(asking.await),
            }
        }
        Err(NoKey::Unavailable)
    }

    fn look(&self, id: &str, now: Instant) -> Look {
        // What is in here is whole after every statement.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.settle(now);
        let age = state.known.as_ref().map(|known| now.duration_since(known.at));
        let key = state.known.as_ref().filter(|_| age < Some(GOOD_FOR)).and_then(|known| known.keys.get(id)).cloned();
        match (key, state.asking.clone()) {
            (Some(key), _) if age < Some(FRESH_FOR) || !state.may_ask(now) => Look::Found(key),
            (_, Some(asking)) => Look::Wait(asking),
            (_, None) if state.may_ask(now) => Look::Wait(state.ask(&self.fetcher, now)),
            (_, None) if state.failed || age >= Some(GOOD_FOR) => Look::Missing(NoKey::Unavailable),
            (_, None) => Look::Missing(NoKey::Unknown),
        }
    }
}

impl State {
    /// Takes in what came of asking, if that has ended.
    fn settle(&mut self, now: Instant) {
        let Some(ended) = self.asking.as_ref().and_then(|asking| asking.peek().cloned()) else { return };
        self.asking = None;
        while self.tasks.try_join_next().is_some() {}
        self.failed = ended.is_err();
        match ended {
            Ok(keys) => {
                tracing::debug!(keys = keys.len(), "the keys of the tokens' issuer");
                self.known = Some(Known { keys, at: now });
            }
            Err(error) => tracing::warn!(error = %chain(&*error), "no keys of the tokens' issuer"),
        }
    }

    /// Whether it is time; never while it is being done.
    fn may_ask(&self, now: Instant) -> bool {
        let every = if self.known.is_some() { ASKED_EVERY } else { ASKED_EVERY_AT_FIRST };
        self.asking.is_none() && self.asked_at.is_none_or(|at| now.duration_since(at) >= every)
    }

    fn ask(&mut self, fetcher: &Fetcher, now: Instant) -> Asking {
        let fetcher = fetcher.clone();
        let keys = async move { fetcher.keys().await.map(Arc::new).map_err(Arc::new) };
        let asking = keys.boxed().shared();
        let driven = asking.clone();
        self.tasks.spawn(async move { drop(driven.await) });
        self.asking = Some(asking.clone());
        self.asked_at = Some(now);
        asking
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys that came so long ago, and the issuer asked so long ago, both in seconds; nobody listens at its address.
    fn keys(came: Option<u64>, asked: Option<u64>, failed: bool, now: Instant) -> Keys {
        let keys = Keys::of(Fetcher::new("http://127.0.0.1:9".parse().expect("an issuer")));
        let ago = |seconds| now - Duration::from_secs(seconds);
        let set = br#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AQAB", "kid": "known"}]}"#;
        let known = came.map(|seconds| Known { keys: Arc::new(KeySet::read(set).expect("a set")), at: ago(seconds) });
        *keys.state.lock().expect("nobody else") =
            State { known, asked_at: asked.map(ago), failed, asking: None, tasks: JoinSet::new() };
        keys
    }

    #[tokio::test(start_paused = true)]
    async fn the_issuer_is_asked_for_what_is_unknown_or_old_and_seldom() {
        const DAY: u64 = 24 * 60 * 60;
        // Far enough from the beginning of the clock.
        tokio::time::advance(Duration::from_secs(3 * DAY)).await;
        let now = Instant::now();
        let look = |keys: &Keys, id: &str| match keys.look(id, now) {
            Look::Found(_) => "found",
            Look::Wait(_) => "asks",
            Look::Missing(NoKey::Unknown) => "unknown",
            Look::Missing(NoKey::Unavailable) => "unavailable",
        };
        for (came, asked, failed, known, unknown) in [
            (None, None, false, "asks", "asks"),
            (None, Some(4), true, "unavailable", "unavailable"),
            (None, Some(5), true, "asks", "asks"),
            (Some(1), Some(1), false, "found", "unknown"),
            (Some(59), Some(59), false, "found", "unknown"),
            (Some(60), Some(60), false, "found", "asks"),
            (Some(90), Some(30), true, "found", "unavailable"),
            (Some(599), Some(599), false, "found", "asks"),
            (Some(600), Some(600), false, "asks", "asks"),
            (Some(660), Some(59), true, "found", "unavailable"),
            (Some(DAY - 1), Some(59), true, "found", "unavailable"),
            (Some(DAY), Some(59), true, "unavailable", "unavailable"),
            (Some(DAY), Some(60), true, "asks", "asks"),
        ] {
            for (id, expected) in [("known", known), ("other", unknown)] {
                assert_eq!(look(&keys(came, asked, failed, now), id), expected, "{id}, {came:?}, {asked:?}, {failed}");
            }
        }
        let one = keys(Some(600), Some(600), false, now);
        assert_eq!([look(&one, "known"), look(&one, "known"), look(&one, "other")], ["asks", "found", "asks"]);
        assert_eq!(one.state.lock().expect("nobody else").tasks.len(), 1, "one asks for all");
    }
}
