//! The routes: each file has its handlers, their documentation, and the shapes they answer with.

pub(crate) mod admin;
pub(crate) mod alert_rules;
pub(crate) mod alerts;
pub(crate) mod api_keys;
pub(crate) mod deliveries;
pub(crate) mod dimensions;
pub(crate) mod inventory;
pub(crate) mod metrics;
pub(crate) mod quarantine;
pub(crate) mod status;
pub(crate) mod tenant;
pub(crate) mod values;
pub(crate) mod webhook_endpoints;
