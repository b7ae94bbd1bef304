//! The binaries as processes: what a user starts, sees and stops.

mod chaos;
mod dev;
mod drain;
mod killed;
mod memory;
mod operator;
mod process;
mod proxy;
mod rules;
mod startup;
mod walkthrough;
