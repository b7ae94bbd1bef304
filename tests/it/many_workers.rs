//! Many workers on one stream, measured in virtual time with the lease TTL of production: how long a shard stands still when
//! its worker dies, leaves or rotates, what an idle fleet costs, and that no kind of gap and no stall counts anything twice.
//!
//! Every call of every worker takes [`fleet::LATENCY`] and is recorded, so that a rule is checked by what went over the wire.

mod cancelling;
mod churn;
mod fleet;
mod gaps;
mod hand_over;
mod listings;
mod memory;
mod quiet;
mod rolling;
mod rotation;
mod sharing;
mod states;
mod stuck;
mod told;
mod trace;
