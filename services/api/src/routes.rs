//! The routes: each file has its handlers, their documentation, and the shapes they answer with.

pub(crate) mod metrics;
pub(crate) mod quarantine;
pub(crate) mod status;
pub(crate) mod values;
