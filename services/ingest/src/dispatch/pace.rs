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
    /// How often each slot is looked at, whether or not anything is told of it.
    pub look: Duration,
    pub timeouts: Timeouts,
}

/// What waits is looked at with one look in so many.
const LOOKS_PER_WAITING: u32 = 2;

impl Pace {
    /// What is promised to receivers and tenants.
    pub const STANDARD: Self = Self {
        second: Duration::from_secs(1),
        claim: Duration::from_secs(30),
        look: Duration::from_millis(500),
        timeouts: Timeouts::STANDARD,
    };

    /// How often what waits is looked at, unless something of it is known to come due earlier.
    pub(super) fn waiting_look(&self) -> Duration {
        self.look * LOOKS_PER_WAITING
    }

    /// A wait at this pace.
    pub(super) fn scaled(&self, wait: Duration) -> Duration {
        wait.mul_f64(self.second.as_secs_f64())
    }
}
