//! The binaries as processes: what a user starts, sees and stops.

mod chaos;
mod dev;
mod drain;
mod killed;
mod memory;
mod operator;
mod pod;
mod process;
mod proxy;
mod rolling;
mod rules;
mod startup;
mod walkthrough;
