//! The ids of things that are made one at a time: a prefix that says what it is, and a ULID.
//!
//! Ids are made by callers, who have a clock and chance; here they are only checked.

use serde::{Deserialize, Serialize};

/// Characters of a ULID (its specification, "Canonical String Representation").
pub const ULID_LENGTH: usize = 26;

/// The text is no id of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id: `{prefix}` and the {ULID_LENGTH} characters of a ULID in upper case are needed")]
pub struct Error {
    prefix: &'static str,
}

/// Whether a text is a ULID in its one canonical spelling: Crockford's base 32 in upper case, below 2^128.
fn is_ulid(text: &str) -> bool {
    let crockford = |c: u8| c.is_ascii_digit() || (c.is_ascii_uppercase() && !matches!(c, b'I' | b'L' | b'O' | b'U'));
    text.len() == ULID_LENGTH && text.as_bytes()[0] <= b'7' && text.bytes().all(crockford)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// What every id of this kind begins with.
            pub const PREFIX: &str = $prefix;

            /// Reads a whole id, prefix included.
            ///
            /// # Errors
            /// When the prefix is another, or what follows is no ULID in upper case.
            pub fn new(text: &str) -> Result<Self, Error> {
                let is_one = text.strip_prefix(Self::PREFIX).is_some_and(is_ulid);
                if is_one { Ok(Self(text.into())) } else { Err(Error { prefix: Self::PREFIX }) }
            }

            /// The id with this ULID, given as text without a prefix.
            ///
            /// # Errors
            /// When the text is no ULID in upper case.
            pub fn from_ulid_text(ulid: &str) -> Result<Self, Error> {
                Self::new(&format!("{}{ulid}", Self::PREFIX))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The ULID alone.
            pub fn ulid_text(&self) -> &str {
                &self.0[Self::PREFIX.len()..]
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// An alert rule.
    RuleId,
    "rul_"
);
id!(
    /// One episode of an alert, from firing to resolved.
    AlertId,
    "alr_"
);
id!(
    /// Something that happened and is announced; the `webhook-id` of all its deliveries.
    EventId,
    "evt_"
);
id!(
    /// A webhook endpoint.
    EndpointId,
    "ep_"
);
id!(
    /// Work that outlives a request.
    JobId,
    "job_"
);

#[cfg(test)]
mod tests {
    use super::*;

    const ULID: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

    #[test]
    fn an_id_has_its_prefix_and_one_spelling() {
        let id = AlertId::from_ulid_text(ULID).expect("a ULID");
        assert_eq!(id.as_str(), "alr_01ARZ3NDEKTSV4RRFFQ69G5FAV");
        assert_eq!(id.ulid_text(), ULID);
        assert_eq!(AlertId::new(id.as_str()), Ok(id.clone()));
        assert!(RuleId::new(id.as_str()).is_err(), "another kind's prefix");
        assert_eq!(serde_json::to_string(&id).expect("plain text"), "\"alr_01ARZ3NDEKTSV4RRFFQ69G5FAV\"");
        let lower = ULID.to_lowercase();
        for bad in
            ["", &ULID[1..], &lower, "81ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3NDEKTSV4RRFFQ69G5FAU", "01ARZ3NDEKTSV4RRFFQ69G5F\u{e4}"]
        {
            assert!(AlertId::from_ulid_text(bad).is_err(), "{bad:?}");
            assert!(serde_json::from_str::<AlertId>(&format!("\"alr_{bad}\"")).is_err(), "{bad:?}");
        }
    }
}
