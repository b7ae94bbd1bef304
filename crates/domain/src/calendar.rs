//! Cuts ranges of time into the buckets of an answer.
