//! The binaries as processes: what a user starts, sees and stops.

mod chaos;
mod dev;
mod drain;
mod honest;
mod killed;
mod memory;
mod metrics;
mod operator;
mod permissions;
mod pod;
mod process;
mod proxy;
mod rolling;
mod rules;
mod secrets;
mod startup;
mod telemetry;
mod walkthrough;
mod zones;
