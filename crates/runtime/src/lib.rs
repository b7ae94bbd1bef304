//! Process plumbing: what a Tidemark process needs before it is anything in particular.
//!
//! The environment and the wall clock are read here and nowhere else; everything above takes values and `now` as arguments.
//! Nothing here knows tenants, streams, tables or routes of the API; the definition file is read here, and understood in
//! `tidemark_domain`.

pub mod admin;
pub mod aws;
pub mod clock;
pub mod definitions;
pub mod health;
pub mod listen;
pub mod process;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
