//! The worker: consumes streams and commits deltas.
