//! The HTTP API over the aggregates.
