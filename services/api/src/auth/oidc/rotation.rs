//! The issuer's keys as they are known here, and when it is asked for them again.
//!
//! An unknown key has the issuer asked, by the first request and for all that wait, at most once a minute: so a flood of made-up keys
//! is none for the issuer. Few requests wait at once; the others are answered as if the issuer had failed. Known keys are asked for again
//! when they are old, so that a key that was withdrawn stops being good; while the issuer is silent, they are good for a day.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tidemark_runtime::process::chain;
use tokio::sync::Semaphore;
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

/// Most requests that wait for the issuer at once. Each holds a connection, and nothing else that others need.
const WAITING_MAX: usize = 16;

/// A task drives it, so it ends even if every request that waits for it is given up.
type Asking = Shared<BoxFuture<'static, Result<Arc<KeySet>, Arc<fetch::Error>>>>;

/// The keys of one issuer.
#[derive(Debug)]
pub(super) struct Keys {
    fetcher: Fetcher,
    state: Mutex<State>,
    waiting: Semaphore,
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
pub(crate) enum NoKey {
    /// The issuer has none of this id, as far as it may be asked.
    Unknown,
    /// The issuer does not say.
    Unavailable,
}

impl Keys {
    pub(super) fn of(fetcher: Fetcher) -> Self {
        Self { fetcher, state: Mutex::new(State::default()), waiting: Semaphore::new(WAITING_MAX) }
    }

    /// Waits for the issuer, if it is being asked for this key or is to be asked now. Afterwards [`Self::find`] has the result.
    ///
    /// # Errors
    /// [`NoKey::Unavailable`] when [`WAITING_MAX`] others wait.
    pub(super) async fn ask_for(&self, id: &str) -> Result<(), NoKey> {
        let Some(asking) = self.look(id, Instant::now()) else { return Ok(()) };
        match self.waiting.try_acquire() {
            Ok(_permit) => {
                // How it ended is in the state.
                drop(asking.await);
                Ok(())
            }
            // A key that is only old does not need the answer.
            Err(_) => self.find(id).map(drop).map_err(|_| NoKey::Unavailable),
        }
    }

    /// The key of this id, as far as is known without asking.
    ///
    /// # Errors
    /// See [`NoKey`].
    pub(super) fn find(&self, id: &str) -> Result<Key, NoKey> {
        self.state().found(id, Instant::now())
    }

    /// What to wait for before a key is looked for: the issuer's answer, if it is being asked or is to be asked now.
    fn look(&self, id: &str, now: Instant) -> Option<Asking> {
        let mut state = self.state();
        let is_known = state.found(id, now).is_ok();
        let is_fresh = state.age(now) < Some(FRESH_FOR);
        match state.asking.clone() {
            _ if is_known && is_fresh => None,
            // Others ask already for one that is only old.
            Some(asking) => (!is_known).then_some(asking),
            None => state.may_ask(now).then(|| state.ask(&self.fetcher, now)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What is in here is whole after every statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn found(&mut self, id: &str, now: Instant) -> Result<Key, NoKey> {
        self.settle(now);
        let is_usable = self.age(now).is_some_and(|age| age < GOOD_FOR);
        let known = self.known.as_ref().filter(|_| is_usable);
        match known.and_then(|known| known.keys.get(id)) {
            Some(key) => Ok(key.clone()),
            None if self.failed || !is_usable => Err(NoKey::Unavailable),
            None => Err(NoKey::Unknown),
        }
    }

    /// How long ago the keys came.
    fn age(&self, now: Instant) -> Option<Duration> {
        self.known.as_ref().map(|known| now.duration_since(known.at))
    }

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

    /// What a request with this key meets first.
    fn met(keys: &Keys, id: &str, now: Instant) -> &'static str {
        if keys.look(id, now).is_some() {
            return "asks";
        }
        match keys.state().found(id, now) {
            Ok(_) => "found",
            Err(NoKey::Unknown) => "unknown",
            Err(NoKey::Unavailable) => "unavailable",
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_issuer_is_asked_for_what_is_unknown_or_old_and_seldom() {
        const DAY: u64 = 24 * 60 * 60;
        // Far enough from the beginning of the clock.
        tokio::time::advance(Duration::from_secs(3 * DAY)).await;
        let now = Instant::now();
        let look = |keys: &Keys, id: &str| met(keys, id, now);
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

    /// An issuer that is being asked until the test ends.
    fn silent(keys: &Keys) {
        let mut state = keys.state();
        state.asking = Some(std::future::pending().boxed().shared());
        state.asked_at = Some(Instant::now());
    }

    #[tokio::test(start_paused = true)]
    async fn sixteen_requests_wait_for_an_issuer_and_no_more() {
        tokio::time::advance(FRESH_FOR * 2).await;
        let keys = Arc::new(keys(None, None, false, Instant::now()));
        silent(&keys);
        let mut waiting = JoinSet::new();
        for _ in 0..WAITING_MAX {
            let keys = Arc::clone(&keys);
            waiting.spawn(async move { keys.ask_for("known").await });
        }
        while keys.waiting.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(keys.ask_for("known").await, Err(NoKey::Unavailable));
        waiting.abort_all();
        while waiting.join_next().await.is_some() {}
        assert_eq!(keys.waiting.available_permits(), WAITING_MAX, "a request that is given up leaves its place");
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_known_waits_for_no_answer_that_others_wait_for() {
        tokio::time::advance(FRESH_FOR * 2).await;
        let keys = keys(Some(FRESH_FOR.as_secs()), Some(FRESH_FOR.as_secs()), false, Instant::now());
        silent(&keys);
        assert_eq!(keys.ask_for("known").await, Ok(()));
        assert!(keys.find("known").is_ok());
        let all = keys.waiting.try_acquire_many(u32::try_from(WAITING_MAX).expect("a small number")).expect("none waits");
        assert_eq!(keys.ask_for("other").await, Err(NoKey::Unavailable));
        drop(all);
    }
}
