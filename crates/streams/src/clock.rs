//! The time of DynamoDB, as its answers show it. A watermark says what a service has shown up to some time of that service's own; the
//! clock of a worker may be wrong by minutes.
//!
//! An answer's `Date` (RFC 9110 §6.6.1) is the service's time in whole seconds, at some moment between the request and the answer. So
//! each answer bounds the service's time from both sides, and many of them bound it closely: by about the time that a call takes.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Answers of this long, and of as long before, are remembered: clocks drift, and are set.
const SPAN: std::time::Duration = std::time::Duration::from_secs(60);
/// `Date` is rounded down to this.
const RESOLUTION: SignedDuration = SignedDuration::from_secs(1);

/// The service's clock. Clones share what they have learnt.
#[derive(Debug, Clone)]
pub struct ServiceClock {
    /// All bounds are of the service's time at this instant.
    anchor: Instant,
    seen: Arc<Mutex<Seen>>,
}

/// What the answers of two spans say.
#[derive(Debug)]
struct Seen {
    since: Instant,
    current: Option<Bounds>,
    previous: Option<Bounds>,
}

/// The service's time at the anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bounds {
    earliest: Timestamp,
    latest: Timestamp,
}

impl Bounds {
    /// What both say; `None`: they contradict each other, so a clock was set.
    fn and(self, other: Self) -> Option<Self> {
        let both = Self { earliest: self.earliest.max(other.earliest), latest: self.latest.min(other.latest) };
        (both.earliest <= both.latest).then_some(both)
    }
}

impl ServiceClock {
    pub(crate) fn new() -> Self {
        let anchor = Instant::now();
        Self { anchor, seen: Arc::new(Mutex::new(Seen { since: anchor, current: None, previous: None })) }
    }

    /// The service's time at `mono`, or up to a second less. None before its first answer.
    pub fn at(&self, mono: Instant) -> Option<Timestamp> {
        self.bounds().map(|bounds| bounds.earliest + self.since_anchor(mono))
    }

    /// The latest that the service's time can be at `mono`. None before its first answer.
    pub fn latest_at(&self, mono: Instant) -> Option<Timestamp> {
        self.bounds().map(|bounds| bounds.latest + self.since_anchor(mono))
    }

    /// How far `own`, this machine's time at `mono`, is ahead of the service's for certain; negative: behind. Zero when it may be right, or
    /// nothing is known.
    pub fn skew(&self, own: Timestamp, mono: Instant) -> SignedDuration {
        let Some(Bounds { earliest, latest }) = self.bounds() else { return SignedDuration::ZERO };
        let own = own - self.since_anchor(mono);
        own.duration_since(latest).max(SignedDuration::ZERO) + own.duration_since(earliest).min(SignedDuration::ZERO)
    }

    /// Takes in the `Date` of an answer to a request that was sent and answered at these instants.
    fn note(&self, date: Timestamp, sent: Instant, answered: Instant) {
        let bounds = Bounds { earliest: date - self.since_anchor(answered), latest: date + RESOLUTION - self.since_anchor(sent) };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if answered.saturating_duration_since(seen.since) >= SPAN {
            (seen.since, seen.previous) = (answered, seen.current.take());
        }
        let current = seen.current.map_or(Some(bounds), |current| current.and(bounds));
        if current.is_none() {
            seen.previous = None;
        }
        seen.current = Some(current.unwrap_or(bounds));
    }

    fn bounds(&self) -> Option<Bounds> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let current = seen.current?;
        Some(seen.previous.and_then(|previous| previous.and(current)).unwrap_or(current))
    }

    fn since_anchor(&self, mono: Instant) -> SignedDuration {
        SignedDuration::try_from(mono.saturating_duration_since(self.anchor)).unwrap_or(SignedDuration::MAX)
    }
}

/// When an attempt was sent.
#[derive(Debug, Clone, Copy)]
struct SentAt(Instant);

impl Storable for SentAt {
    type Storer = StoreReplace<Self>;
}

impl Intercept for ServiceClock {
    fn name(&self) -> &'static str {
        "ServiceClock"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        cfg.interceptor_state().store_put(SentAt(Instant::now()));
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date").and_then(parse);
        if let (Some(date), Some(SentAt(sent))) = (date, cfg.load::<SentAt>().copied()) {
            self.note(date, sent, Instant::now());
        }
        Ok(())
    }
}

fn parse(date: &str) -> Option<Timestamp> {
    Timestamp::from_second(DateTime::from_str(date, DateTimeFormat::HttpDate).ok()?.secs()).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::testing::at;

    fn ms(ms: i64) -> SignedDuration {
        SignedDuration::from_millis(ms)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Calls at any times, of any length, answered at any moment in between.
        #[test]
        fn the_services_time_is_within_its_bounds(
            calls in proptest::collection::vec((0u64..5_000, 0u64..2_000, 0.0f64..=1.0), 1..60),
            offset_ms in -1_000_000i64..1_000_000,
        ) {
            let clock = ServiceClock::new();
            let service = |after_ms: u64| at(0) + ms(offset_ms + i64::try_from(after_ms).unwrap());
            let mut now_ms = 0;
            for (pause, takes, part) in calls {
                let (sent_ms, answered_ms) = (now_ms + pause, now_ms + pause + takes);
                let date = service(sent_ms + Duration::from_millis(takes).mul_f64(part).as_millis() as u64);
                let date = Timestamp::from_second(date.as_millisecond().div_euclid(1000)).unwrap();
                let mono = |ms| clock.anchor + Duration::from_millis(ms);
                clock.note(date, mono(sent_ms), mono(answered_ms));
                now_ms = answered_ms;
                let (earliest, latest) = (clock.at(mono(now_ms)).unwrap(), clock.latest_at(mono(now_ms)).unwrap());
                prop_assert!(earliest <= service(now_ms) && service(now_ms) <= latest);
                prop_assert_eq!(clock.skew(service(now_ms), mono(now_ms)), SignedDuration::ZERO);
                prop_assert!(latest.duration_since(earliest) <= RESOLUTION + ms(i64::try_from(takes).unwrap()));
            }
        }
    }

    #[test]
    fn a_clock_that_is_ahead_or_behind_is_so_by_what_is_certain() {
        let clock = ServiceClock::new();
        assert_eq!(clock.skew(at(900), clock.anchor), SignedDuration::ZERO, "nothing is known");
        clock.note(at(100), clock.anchor, clock.anchor);
        assert_eq!(clock.skew(at(1000), clock.anchor), SignedDuration::from_secs(899));
        assert_eq!(clock.skew(at(90), clock.anchor), SignedDuration::from_secs(-10));
        assert_eq!(clock.skew(at(100), clock.anchor), SignedDuration::ZERO);
    }

    #[test]
    fn a_clock_that_is_set_is_believed_at_once_and_old_answers_are_forgotten() {
        let clock = ServiceClock::new();
        let after = |seconds| clock.anchor + Duration::from_secs(seconds);
        clock.note(at(100), after(0), after(0));
        clock.note(at(50), after(1), after(1));
        assert_eq!(clock.at(after(1)), Some(at(50)), "the service's clock was set back");
        // Ours goes too fast: 61 of its seconds are 60 of the service's.
        clock.note(at(110), after(62), after(62));
        clock.note(at(169), after(123), after(123));
        assert_eq!(clock.at(after(123)), Some(at(169)), "{:?}", clock.seen);
    }

    #[test]
    fn a_date_is_read_as_http_writes_it() {
        assert_eq!(parse("Fri, 15 Jan 2027 08:00:00 GMT"), Some(at(0)));
        assert_eq!(parse("2027-01-15T08:00:00Z"), None);
    }
}
