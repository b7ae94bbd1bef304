//! The proof: integration tests of Tidemark against real parts.
