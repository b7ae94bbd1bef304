//! Whether an endpoint still works: what its failures add up to, when its owner is warned, and when it is given up.
//!
//! Kept with the endpoint, not in a cache: a restart forgives nothing. Attempts that somebody asked for by hand as a test are not
//! to be counted; the caller leaves them out.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::send::Outcome;

/// An endpoint with nothing but failures for this long is disabled.
pub const DISABLED_AFTER: SignedDuration = SignedDuration::from_hours(5 * 24);
/// The failures before the last must reach over this span. Two failures days apart, with a quiet endpoint between, prove little.
pub const FAILURES_SPAN_MIN: SignedDuration = SignedDuration::from_hours(12);
/// Shares of [`DISABLED_AFTER`], in percent, at which the owner is warned.
pub const WARNED_AT_PERCENT: [u8; 3] = [50, 70, 90];

/// What an endpoint's attempts have come to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Health {
    /// The first failure since the last success; `None` while it works.
    pub first_failure_at: Option<Timestamp>,
    pub last_failure_at: Option<Timestamp>,
    pub last_success_at: Option<Timestamp>,
    /// Failures since the last success.
    pub consecutive: u32,
    /// The highest of [`WARNED_AT_PERCENT`] already warned of since the last success, or 0.
    pub warned_percent: u8,
}

/// What follows from an attempt beyond the counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// The owner is to be warned: with nothing but failures the endpoint is disabled at `disabled_at` or the failure after.
    Warn { percent: u8, disabled_at: Timestamp },
    /// Disabled, because the receiver says it is gone for good (410).
    DisableGone,
    /// Disabled, because nothing has succeeded for [`DISABLED_AFTER`].
    DisableFailing,
}

/// The short form that tenants see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    Healthy,
    Failing,
    /// Failing, and its owner was warned.
    Warned,
}

impl Health {
    /// The health after one more attempt, and what follows from it. A failure of our own network changes nothing.
    #[must_use]
    pub fn after(&self, outcome: Outcome, now: Timestamp) -> (Self, Option<Consequence>) {
        match outcome {
            Outcome::Delivered => (Self { last_success_at: Some(now), ..Self::default() }, None),
            ours if ours.is_ours() => (self.clone(), None),
            Outcome::Gone => (self.failed_again(now), Some(Consequence::DisableGone)),
            _ => self.failed_again(now).judged(self, now),
        }
    }

    pub fn condition(&self) -> Condition {
        match (self.first_failure_at, self.warned_percent) {
            (None, _) => Condition::Healthy,
            (Some(_), 0) => Condition::Failing,
            (Some(_), _) => Condition::Warned,
        }
    }

    fn failed_again(&self, now: Timestamp) -> Self {
        Self {
            first_failure_at: self.first_failure_at.or(Some(now)),
            last_failure_at: Some(now),
            consecutive: self.consecutive.saturating_add(1),
            ..self.clone()
        }
    }

    /// Which consequence this failure has, given the health `before` it.
    fn judged(mut self, before: &Self, now: Timestamp) -> (Self, Option<Consequence>) {
        let (Some(first), Some(last)) = (before.first_failure_at, before.last_failure_at) else {
            return (self, None);
        };
        let failing_for = now.duration_since(first);
        if failing_for >= DISABLED_AFTER && last.duration_since(first) >= FAILURES_SPAN_MIN {
            return (self, Some(Consequence::DisableFailing));
        }
        let reached = |percent: &u8| failing_for >= DISABLED_AFTER / 100 * i32::from(*percent);
        let warning = WARNED_AT_PERCENT.into_iter().rev().find(reached).filter(|percent| *percent > self.warned_percent);
        let Some(percent) = warning else {
            return (self, None);
        };
        self.warned_percent = percent;
        let disabled_at = first.saturating_add(DISABLED_AFTER).unwrap_or(Timestamp::MAX);
        (self, Some(Consequence::Warn { percent, disabled_at }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::UNIX_EPOCH;

    fn hours(hours: i64) -> Timestamp {
        START + SignedDuration::from_hours(hours)
    }

    /// The health, and the consequences with their hours, of failures at these hours.
    fn failures(at: impl IntoIterator<Item = i64>) -> (Health, Vec<(i64, Consequence)>) {
        let mut consequences = Vec::new();
        let health = at.into_iter().fold(Health::default(), |health, hour| {
            let (health, consequence) = health.after(Outcome::HttpStatus, hours(hour));
            consequences.extend(consequence.map(|consequence| (hour, consequence)));
            health
        });
        (health, consequences)
    }

    fn warn(percent: u8) -> Consequence {
        Consequence::Warn { percent, disabled_at: hours(120) }
    }

    #[test]
    fn five_days_of_nothing_but_failures_warn_three_times_and_disable() {
        let (health, consequences) = failures(0..=120);
        assert_eq!(consequences, [(60, warn(50)), (84, warn(70)), (108, warn(90)), (120, Consequence::DisableFailing)]);
        assert_eq!(
            (health.consecutive, health.first_failure_at, health.last_failure_at),
            (121, Some(hours(0)), Some(hours(120)))
        );
    }

    #[test]
    fn a_success_clears_everything() {
        let (failing, _) = failures(0..=119);
        assert_eq!(failing.condition(), Condition::Warned);
        let (health, consequence) = failing.after(Outcome::Delivered, hours(119));
        assert_eq!((health.condition(), consequence), (Condition::Healthy, None));
        assert_eq!(health, Health { last_success_at: Some(hours(119)), ..Health::default() });
        let (again, consequence) = health.after(Outcome::Timeout, hours(120));
        assert_eq!((again.condition(), again.consecutive, consequence), (Condition::Failing, 1, None));
        assert_eq!(again.last_success_at, Some(hours(119)));
    }

    #[test]
    fn failures_close_together_long_ago_do_not_disable() {
        let (health, consequences) = failures([0, 1, 11, 500]);
        assert_eq!(consequences, [(500, warn(90))], "the highest warning stands for those before it");
        assert_eq!(health.after(Outcome::Connect, hours(501)).1, Some(Consequence::DisableFailing));
        assert_eq!(failures([0, 12, 120]).1, [(120, Consequence::DisableFailing)]);
        assert_eq!(failures([0, 12, 119]).1, [(119, warn(90))]);
    }

    #[test]
    fn a_receiver_that_is_gone_is_disabled_at_once() {
        let (health, consequence) = Health::default().after(Outcome::Gone, hours(0));
        assert_eq!((health.condition(), consequence), (Condition::Failing, Some(Consequence::DisableGone)));
    }

    #[test]
    fn failures_of_our_own_are_not_charged() {
        let (failing, _) = failures([0, 50]);
        for outcome in Outcome::ALL.into_iter().filter(|outcome| outcome.is_ours()) {
            assert_eq!(failing.after(outcome, hours(500)), (failing.clone(), None), "{outcome}");
        }
    }

    #[test]
    fn a_clock_that_steps_back_does_no_harm() {
        let (health, consequences) = failures([100, 40, 0]);
        assert_eq!((health.condition(), consequences.len()), (Condition::Failing, 0));
        let (_, consequence) = Health { first_failure_at: Some(Timestamp::MIN), ..health }.after(Outcome::Dns, Timestamp::MAX);
        assert_eq!(consequence, Some(Consequence::DisableFailing));
    }
}
