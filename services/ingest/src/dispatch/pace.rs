//! How fast the dispatcher goes. There is one pace; tests have another, so that they need not wait for days.

use std::time::Duration;

use tidemark_webhooks::send::Timeouts;

/// The dispatcher's times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// What a second of the waits between attempts lasts.
    pub second: Duration,
    /// How long claimed work is kept from others: longer than an exchange and the writes around it.
    pub claim: Duration,
    /// How often each slot is looked at, whether or not there is news of it.
    pub look: Duration,
    /// A slot is idle when nothing was due in it, and there was no news of it, for so long.
    pub idle_after: Duration,
    /// How often an idle slot is looked at.
    pub idle_look: Duration,
    /// How often a slot's waiting part is looked at while nothing is in it. What is put there has some time: a delivery or a job waits
    /// for half a minute at least, and an event is held until its stream has caught up.
    pub empty_look: Duration,
    pub timeouts: Timeouts,
}

/// What waits is looked at with one look in so many, while the slot is not idle.
const LOOKS_PER_WAITING: u32 = 2;

impl Pace {
    /// What is promised to receivers and tenants.
    ///
    /// A look at an empty part of a slot costs half a read unit (AWS: Query, eventually consistent, of up to 4 KB). Of 32 slots that are
    /// all idle and empty, one deployment reads 32 × (1 + ¼) parts a second: 40 Queries, 20 read units. While all of them are busy it is
    /// 32 × (2 + 1) parts a second: 96 Queries, 48 read units, and what is found.
    pub const STANDARD: Self = Self {
        second: Duration::from_secs(1),
        claim: Duration::from_secs(30),
        look: Duration::from_millis(500),
        idle_after: Duration::from_secs(30),
        idle_look: Duration::from_secs(1),
        empty_look: Duration::from_secs(4),
        timeouts: Timeouts::STANDARD,
    };

    /// When a slot is looked at again in which nothing was due, and of which there was no news, for so long.
    pub(super) fn look_after(&self, quiet_for: Duration) -> Duration {
        if quiet_for < self.idle_after { self.look } else { self.idle_look.max(self.look) }
    }

    /// How often what waits is looked at, unless something of it is known to come due earlier.
    pub(super) fn waiting_look(&self) -> Duration {
        self.look * LOOKS_PER_WAITING
    }

    /// The same, when the last look found nothing at all there.
    pub(super) fn empty_waiting_look(&self) -> Duration {
        self.empty_look.max(self.waiting_look())
    }

    /// A wait at this pace.
    pub(super) fn scaled(&self, wait: Duration) -> Duration {
        wait.mul_f64(self.second.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_slot_is_looked_at_half_as_often_and_what_waits_a_quarter_as_often() {
        let pace = Pace::STANDARD;
        let times = [0, 29, 30, 3_600].map(|seconds| pace.look_after(Duration::from_secs(seconds)).as_millis());
        assert_eq!(times, [500, 500, 1_000, 1_000]);
        assert_eq!((pace.waiting_look().as_secs(), pace.empty_waiting_look().as_secs()), (1, 4));
        let slower = Pace { look: Duration::from_secs(10), ..pace };
        assert_eq!((slower.look_after(Duration::MAX).as_secs(), slower.empty_waiting_look().as_secs()), (10, 20));
    }
}
