//! Where in a source something comes from.

use jiff::Timestamp;
use tidemark_domain::SourceName;

/// Where in a source something comes from: it names what goes to quarantine.
#[derive(Debug, Clone)]
pub struct Provenance {
    pub source: SourceName,
    /// The record's sequence number; of a batch, the last one's.
    pub sequence: String,
    /// When the record was written.
    pub at: Timestamp,
}
