//! Refusals as they come over the wire: their code, why a transaction was cancelled, and which resource was at its limit. Both
//! services speak the same protocol (AWS JSON 1.0), so this is one reading for all operations.

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
/// The throttle that says by itself that the account's quota is exceeded (AWS: Query, errors).
const ACCOUNT_THROTTLE: &str = "RequestLimitExceeded";
/// What a throttling reason ends with when a quota of the account is exceeded (AWS: ThrottlingReason).
const ACCOUNT_LIMIT: &str = "AccountLimitExceeded";
/// What the messages say when an index is at its limit (AWS: TransactionCanceledException). A reason of a cancelled transaction has
/// no throttling reasons, so that its message is all that tells an index from its table.
const INDEX_MESSAGE: &str = "global secondary index";
/// Codes of refusals that meet a transaction under way.
const CONFLICTS: [&str; 2] = ["TransactionConflictException", "TransactionInProgressException"];
const CONFLICT_REASON: &str = "TransactionConflict";

/// What an answer that is no success says.
#[derive(Debug)]
pub(super) struct Refusal {
    /// AWS's code, such as `ThrottlingException`; `http_503` where there is none.
    pub(super) code: String,
    message: Option<String>,
    /// A cancelled transaction's, by its items.
    reasons: Vec<Reason>,
    throttling: Vec<ThrottlingReason>,
}

/// The resource that was at its limit when an attempt was throttled. The greater, the more exactly it says where to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Limited {
    /// The answer does not say. Of a cancelled transaction it names nothing but an index.
    Unknown,
    Account,
    Table,
    Index,
}

impl Limited {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Account => "account",
            Self::Table => "table",
            Self::Index => "index",
        }
    }
}

#[derive(Debug, Default, Deserialize)]
struct Body {
    /// `com.amazonaws.dynamodb.v20120810#ThrottlingException`
    #[serde(rename = "__type")]
    kind: String,
    message: Option<String>,
    #[serde(rename = "CancellationReasons", default)]
    reasons: Vec<Reason>,
    /// Spelled in two ways, by the exception that has them.
    #[serde(rename = "ThrottlingReasons", alias = "throttlingReasons")]
    throttling: Option<Vec<ThrottlingReason>>,
}

#[derive(Debug, Deserialize)]
struct Reason {
    #[serde(rename = "Code")]
    code: Option<String>,
    #[serde(rename = "Message")]
    message: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ThrottlingReason {
    /// Resource, operation and limit in one word: `IndexWriteKeyRangeThroughputExceeded`.
    reason: Option<String>,
}

impl Refusal {
    /// Nothing for a success. A body that cannot be read is that of something on the way.
    pub(super) fn of(response: &HttpResponse) -> Option<Self> {
        if response.status().is_success() {
            return None;
        }
        let body = response.body().bytes().and_then(|body| serde_json::from_slice::<Body>(body).ok());
        let unread = || Body { kind: format!("http_{}", response.status().as_u16()), ..Body::default() };
        let Body { kind, message, reasons, throttling } = body.unwrap_or_else(unread);
        let code = kind.rsplit_once('#').map_or(kind.as_str(), |(_, code)| code).to_owned();
        Some(Self { code, message, reasons, throttling: throttling.unwrap_or_default() })
    }

    /// The resource that was at its limit, of several the greatest; `None` for an attempt that was not throttled.
    pub(super) fn throttled(&self) -> Option<Limited> {
        let is_throttle = |reason: &&Reason| reason.code.as_deref().is_some_and(|code| THROTTLE_REASONS.contains(&code));
        let mut items = self.reasons.iter().filter(is_throttle).peekable();
        if !THROTTLES.contains(&self.code.as_str()) && items.peek().is_none() {
            return None;
        }
        let by_code = if self.code == ACCOUNT_THROTTLE { Limited::Account } else { Limited::Unknown };
        let messages = items.map(|reason| &reason.message).chain([&self.message]);
        let by_messages = messages.flatten().map(|message| by_message(message));
        let by_reasons = self.throttling.iter().filter_map(|reason| reason.reason.as_deref()).map(by_reason);
        by_reasons.chain(by_messages).chain([by_code]).max()
    }

    pub(super) fn is_conflict(&self) -> bool {
        CONFLICTS.contains(&self.code.as_str()) || self.has_reason(|code| code == CONFLICT_REASON)
    }

    fn has_reason(&self, is_meant: impl Fn(&str) -> bool) -> bool {
        self.reasons.iter().filter_map(|reason| reason.code.as_deref()).any(is_meant)
    }
}

fn by_reason(reason: &str) -> Limited {
    if reason.ends_with(ACCOUNT_LIMIT) {
        Limited::Account
    } else if reason.starts_with("Index") {
        Limited::Index
    } else if reason.starts_with("Table") {
        Limited::Table
    } else {
        Limited::Unknown
    }
}

fn by_message(message: &str) -> Limited {
    if message.contains(INDEX_MESSAGE) { Limited::Index } else { Limited::Unknown }
}
