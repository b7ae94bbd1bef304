//! Middleware: one per file. `router.rs` says in which order they sit, and why.

pub(crate) mod admission;
pub(crate) mod bodiless;
pub(crate) mod conditional;
pub(crate) mod cors;
pub(crate) mod draining;
pub(crate) mod head;
pub(crate) mod held;
pub(crate) mod issuer;
pub(crate) mod measured;
pub(crate) mod problems;
pub(crate) mod request_id;
pub(crate) mod traced;
pub(crate) mod unsent;
