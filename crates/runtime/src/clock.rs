//! The wall clock: the one place that reads it.

use jiff::Timestamp;

/// The present instant. Callers read it at the edge and pass it on as `now`.
#[allow(clippy::disallowed_methods, reason = "this is the place that the ban points to")]
pub fn now() -> Timestamp {
    Timestamp::now()
}
