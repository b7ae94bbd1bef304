//! Refusals as they come over the wire: their code, and why a transaction was cancelled. Both services speak the same protocol
//! (AWS JSON 1.0), so this is one reading for all operations.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use serde::Deserialize;

/// Codes of refusals that ask for fewer calls. `LimitExceededException` is that of GetRecords and DescribeStream.
const THROTTLES: [&str; 5] = [
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottledException",
    "ThrottlingException",
];
/// The same, as a transaction's reasons.
const THROTTLE_REASONS: [&str; 2] = ["ProvisionedThroughputExceeded", "ThrottlingError"];
/// Codes of refusals that meet a transaction under way.
const CONFLICTS: [&str; 2] = ["TransactionConflictException", "TransactionInProgressException"];
const CONFLICT_REASON: &str = "TransactionConflict";

/// What an answer that is no success says.
#[derive(Debug)]
pub(super) struct Refusal {
    /// AWS's code, such as `ThrottlingException`; `http_503` where there is none.
    pub(super) code: String,
    /// A cancelled transaction's, by its items.
    reasons: Vec<Reason>,
}

#[derive(Debug, Deserialize)]
struct Body {
    /// `com.amazonaws.dynamodb.v20120810#ThrottlingException`
    #[serde(rename = "__type")]
    kind: String,
    #[serde(rename = "CancellationReasons", default)]
    reasons: Vec<Reason>,
}

#[derive(Debug, Deserialize)]
struct Reason {
    #[serde(rename = "Code")]
    code: Option<String>,
}

impl Refusal {
    /// Nothing for a success. A body that cannot be read is that of something on the way.
    pub(super) fn of(response: &HttpResponse) -> Option<Self> {
        if response.status().is_success() {
            return None;
        }
        let body = response.body().bytes().and_then(|body| serde_json::from_slice::<Body>(body).ok());
        Some(match body {
            Some(Body { kind, reasons }) => {
                let code = kind.rsplit_once('#').map_or(kind.as_str(), |(_, code)| code).to_owned();
                Self { code, reasons }
            }
            None => Self { code: format!("http_{}", response.status().as_u16()), reasons: Vec::new() },
        })
    }

    pub(super) fn is_throttle(&self) -> bool {
        THROTTLES.contains(&self.code.as_str()) || self.has_reason(|code| THROTTLE_REASONS.contains(&code))
    }

    pub(super) fn is_conflict(&self) -> bool {
        CONFLICTS.contains(&self.code.as_str()) || self.has_reason(|code| code == CONFLICT_REASON)
    }

    fn has_reason(&self, is_meant: impl Fn(&str) -> bool) -> bool {
        self.reasons.iter().filter_map(|reason| reason.code.as_deref()).any(is_meant)
    }
}
