//! The identity of a tenant.

use serde::{Deserialize, Serialize};

/// Most characters a tenant id may have.
pub const TENANT_ID_LENGTH_MAX: usize = 64;

/// A tenant's id: 1 to 64 of `A-Z a-z 0-9 _ -`, case kept. It is the first part of every key of tenant data.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(std::sync::Arc<str>);

/// The text is no tenant id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a tenant id is 1 to {TENANT_ID_LENGTH_MAX} of A-Z a-z 0-9 _ -")]
pub struct Error(());

impl TenantId {
    /// # Errors
    /// When the text is empty, too long, or leaves the alphabet.
    pub fn new(text: &str) -> Result<Self, Error> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'-';
        if (1..=TENANT_ID_LENGTH_MAX).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(Error(()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TenantId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        Self::new(&text)
    }
}

impl From<TenantId> for String {
    fn from(id: TenantId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl std::str::FromStr for TenantId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::new(text)
    }
}

impl std::fmt::Display for TenantId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_ids_are_refused() {
        for bad in ["", "a b", "a#b", "T#x", "é", "a/b", "a\0", &"a".repeat(65)] {
            assert!(TenantId::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(TenantId::new("Acme-1_x").map(String::from), Ok("Acme-1_x".to_owned()));
    }
}
