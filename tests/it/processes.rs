//! The binaries as processes: what a user starts, sees and stops.

mod chaos;
mod dev;
mod killed;
mod memory;
mod operator;
mod process;
mod startup;
mod walkthrough;
