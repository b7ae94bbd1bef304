//! The routes: each file has its handlers, their documentation, and the shapes they answer with.

pub(crate) mod alert_rules;
pub(crate) mod alerts;
pub(crate) mod deliveries;
pub(crate) mod inventory;
pub(crate) mod metrics;
pub(crate) mod quarantine;
pub(crate) mod status;
pub(crate) mod values;
pub(crate) mod webhook_endpoints;
