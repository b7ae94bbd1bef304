//! Headers that a tenant adds to its deliveries: which names and values are safe to send.

use std::collections::BTreeMap;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

/// Most headers of one endpoint.
pub const COUNT_MAX: usize = 10;
/// Most bytes of all names and values together; receivers commonly refuse requests with more than 8 KiB of headers.
pub const BYTES_MAX: usize = 4 * 1024;

/// Names that the exchange itself needs, or that a receiver may trust to come from somebody else.
const RESERVED: [&str; 13] = [
    "accept-encoding",
    "connection",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
];
const RESERVED_PREFIXES: [&str; 5] = ["content-", "proxy-", "tidemark-", "webhook-", "x-forwarded-"];

/// An endpoint's own headers. Names are in lower case; `Debug` shows names only, for a value is often a credential.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct CustomHeaders(BTreeMap<String, String>);

/// Why the headers are refused. No value is quoted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{0} headers; at most {COUNT_MAX} are sent")]
    TooMany(usize),
    #[error("the headers have {0} bytes together; at most {BYTES_MAX} are sent")]
    TooLong(usize),
    #[error("`{0}` is no header name: letters, digits and any of !#$%&'*+-.^_`|~")]
    Name(String),
    #[error("`{0}` is ours to set; not allowed are {names}, and names beginning with {prefixes}",
        names = RESERVED.join(", "), prefixes = RESERVED_PREFIXES.join(", "))]
    Reserved(String),
    #[error("`{0}` is given twice; names do not depend on upper and lower case")]
    Repeated(String),
    #[error("the value of `{0}` may only hold visible ASCII characters, with spaces between them")]
    Value(String),
}

impl CustomHeaders {
    /// # Errors
    /// The first fault there is.
    pub fn new(headers: impl IntoIterator<Item = (String, String)>) -> Result<Self, Error> {
        let mut checked = BTreeMap::new();
        for (name, value) in headers {
            let name = checked_name(&name)?;
            if !is_safe_value(&value) {
                return Err(Error::Value(name));
            }
            if checked.insert(name.clone(), value).is_some() {
                return Err(Error::Repeated(name));
            }
        }
        if checked.len() > COUNT_MAX {
            return Err(Error::TooMany(checked.len()));
        }
        let bytes = checked.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > BYTES_MAX { Err(Error::TooLong(bytes)) } else { Ok(Self(checked)) }
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(crate) fn to_map(&self) -> HeaderMap {
        let header = |(name, value): (&str, &str)| {
            let mut value = HeaderValue::from_str(value).expect("values were checked");
            value.set_sensitive(true);
            (HeaderName::from_bytes(name.as_bytes()).expect("names were checked"), value)
        };
        self.iter().map(header).collect()
    }
}

fn checked_name(name: &str) -> Result<String, Error> {
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Error::Name(name.chars().take(64).collect()))?;
    let name = parsed.as_str();
    let reserved = RESERVED.contains(&name) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    if reserved { Err(Error::Reserved(name.to_owned())) } else { Ok(name.to_owned()) }
}

fn is_safe_value(value: &str) -> bool {
    value.bytes().all(|c| c == b' ' || c.is_ascii_graphic()) && value.trim() == value
}

impl TryFrom<BTreeMap<String, String>> for CustomHeaders {
    type Error = Error;

    fn try_from(headers: BTreeMap<String, String>) -> Result<Self, Error> {
        Self::new(headers)
    }
}

impl From<CustomHeaders> for BTreeMap<String, String> {
    fn from(headers: CustomHeaders) -> Self {
        headers.0
    }
}

impl std::fmt::Debug for CustomHeaders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&str, &str)]) -> Result<CustomHeaders, Error> {
        CustomHeaders::new(list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn safe_headers_are_taken_with_their_names_in_lower_case() {
        let good = headers(&[("Authorization", "Bearer a b"), ("X-Team", ""), ("cookie", "a=1; b=2")]).expect("safe");
        assert_eq!(good.iter().collect::<Vec<_>>(), [("authorization", "Bearer a b"), ("cookie", "a=1; b=2"), ("x-team", "")]);
        assert!(good.to_map().len() == 3 && good.to_map().values().all(HeaderValue::is_sensitive));
        assert_eq!(format!("{good:?}"), r#"{"authorization", "cookie", "x-team"}"#);
    }

    #[test]
    fn headers_of_the_exchange_are_not_the_tenants_to_set() {
        let named =
            ["Host", "Content-Length", "content-type", "CONNECTION", "Transfer-Encoding", "te", "Upgrade", "Proxy-Authorization"];
        let trusted = ["X-Forwarded-For", "forwarded", "Webhook-Id", "tidemark-webhook-attempt", "User-Agent", "accept-encoding"];
        for name in named.into_iter().chain(trusted) {
            assert_eq!(headers(&[(name, "x")]), Err(Error::Reserved(name.to_lowercase())));
        }
    }

    #[test]
    fn nothing_can_be_smuggled_in_a_name_or_value() {
        for name in ["", "a b", "a:", "a\r\nb", "é", "a\0"] {
            assert!(matches!(headers(&[(name, "x")]), Err(Error::Name(_))), "{name:?}");
        }
        for value in ["a\r\nhost: b", "a\nb", "a\0", "é", " a", "a ", "a\tb", "\u{7f}"] {
            assert_eq!(headers(&[("x-a", value)]), Err(Error::Value("x-a".into())), "{value:?}");
        }
    }

    #[test]
    fn number_and_size_are_bounded() {
        let many = |count: usize| CustomHeaders::new((0..count).map(|n| (format!("x-{n}"), "v".to_owned())));
        assert!(many(COUNT_MAX).is_ok());
        assert_eq!(many(COUNT_MAX + 1), Err(Error::TooMany(COUNT_MAX + 1)));
        assert!(headers(&[("x-a", &"v".repeat(BYTES_MAX - 3))]).is_ok());
        assert_eq!(headers(&[("x-a", &"v".repeat(BYTES_MAX - 2))]), Err(Error::TooLong(BYTES_MAX + 1)));
        assert_eq!(headers(&[("x-a", "1"), ("X-A", "2")]), Err(Error::Repeated("x-a".into())));
    }

    #[test]
    fn stored_headers_are_checked_as_they_are_read() {
        assert!(serde_json::from_str::<CustomHeaders>(r#"{"host":"x"}"#).is_err());
        let good: CustomHeaders = serde_json::from_str(r#"{"X-A":"1"}"#).expect("safe");
        assert_eq!(serde_json::to_string(&good).expect("an object"), r#"{"x-a":"1"}"#);
    }
}
