//! Webhooks: how a message is signed, where it may go, how it is sent, when it is tried again, and when an endpoint is given up.
//!
//! Follows Standard Webhooks 1.0. Nothing is stored here, and neither the clock nor the environment is read: callers bring the
//! instant, the randomness and the settings. The dispatcher sends deliveries with it, the API its tests: through one [`send::Sender`],
//! so that every request of ours passes the same [`policy::UrlPolicy`].

pub mod event;
pub mod headers;
pub mod health;
pub mod payload;
pub mod policy;
pub mod resolve;
pub mod schedule;
pub mod seal;
pub mod secret;
pub mod send;
pub mod sign;
