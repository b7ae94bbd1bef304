//! The one query: from a request's parameters to its answer.
//!
//! [`ask`] reads what is asked for, [`plan`] decides which rows answer it, [`cost`] says what that costs, [`gather`] reads them,
//! [`fold`] adds them up, [`answer`] puts the sums into the answer's shape, and [`flat`] writes that as lines. [`held`] counts the memory of all this. Only [`gather`] does I/O.

pub(crate) mod answer;
pub(crate) mod ask;
pub(crate) mod cost;
pub(crate) mod filter;
pub(crate) mod flat;
pub(crate) mod fold;
pub(crate) mod gather;
pub(crate) mod held;
pub(crate) mod plan;

#[cfg(test)]
mod tests;
