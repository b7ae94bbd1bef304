//! Pages of lists: the `limit` and `cursor` parameters, and cursors that only we can make.
//!
//! A cursor is opaque, signed, and bound to the tenant and the list it was made for, so that it can be used nowhere else.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;
use tidemark_domain::TenantId;
use tidemark_runtime::settings::SecretKeys;
use utoipa::{IntoParams, ToSchema};
use zeroize::Zeroizing;

use crate::params::Params;
use crate::problem::{Code, ParameterError};

/// Entries of a page when nobody asks for another number, and the most there can be.
pub(crate) const LIMIT_DEFAULT: usize = 50;
pub(crate) const LIMIT_MAX: usize = 200;
/// Bytes of the signature; half of HMAC-SHA-256 is plenty against guessing.
const SIGNATURE_LENGTH: usize = 16;

/// Where in a list the client is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Page {
    /// Give it as `cursor` to get what follows; null at the end.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

/// Documents what [`PageRequest::take`] takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what is read by name")]
pub(crate) struct PageParameters {
    /// Entries of a page, 1 to 200; 50 unless given.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next_cursor` of the page before, with the same parameters.
    #[param(min_length = 1)]
    cursor: Option<String>,
}

/// The part of a list that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageRequest {
    pub limit: usize,
    /// The last entry of the page before.
    pub after: Option<String>,
    /// What was asked besides: cursors open for the same question only.
    question: String,
}

/// The list a cursor belongs to: it opens for the same tenant, list and question only.
#[derive(Debug, Clone, Copy)]
pub(crate) struct List<'a> {
    pub name: &'static str,
    /// Whose entries they are within the tenant: an endpoint's id, say. Empty for a list of the tenant's own.
    pub within: &'a str,
    /// `None`: the operators.
    pub tenant: Option<&'a TenantId>,
    pub keys: &'a SecretKeys,
}

impl PageRequest {
    /// Takes `limit` and `cursor`, before any other parameter is taken; their errors stay with the parameters.
    pub(crate) fn take(params: &mut Params, list: List<'_>) -> Self {
        let limit = params.take_as("limit", |text| whole_number(text, LIMIT_MAX)).unwrap_or(LIMIT_DEFAULT);
        let cursor = params.take("cursor");
        let question = params.left_as_text();
        let after = cursor.and_then(|cursor| params.keep(list.open(&cursor, &question)));
        Self { limit, after, question }
    }
}

impl List<'_> {
    /// The page that ends with the entry `last`; `None` when it is the last page.
    pub(crate) fn page(&self, request: &PageRequest, last: Option<&str>) -> Page {
        Page { next_cursor: last.map(|last| self.seal(last, &request.question)) }
    }

    fn seal(&self, entry: &str, question: &str) -> String {
        let signature = self.signature(&self.keys.current, question, entry.as_bytes());
        let mut bytes = signature.finalize().into_bytes()[..SIGNATURE_LENGTH].to_vec();
        bytes.extend_from_slice(entry.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn open(&self, cursor: &str, question: &str) -> Result<String, ParameterError> {
        let refused =
            || ParameterError::new("cursor", Code::InvalidCursor, "is not a cursor of this list; leave it out to start again");
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| refused())?;
        let (signature, entry) = bytes.split_at_checked(SIGNATURE_LENGTH).ok_or_else(refused)?;
        let keys = [Some(&self.keys.current), self.keys.previous.as_ref()];
        let is_by = |key: &Zeroizing<[u8; 32]>| self.signature(key, question, entry).verify_truncated_left(signature).is_ok();
        let genuine = keys.into_iter().flatten().any(is_by);
        if !genuine {
            return Err(refused());
        }
        String::from_utf8(entry.to_vec()).map_err(|_| refused())
    }

    fn signature(&self, key: &[u8; 32], question: &str, entry: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
        let tenant = self.tenant.map_or("", TenantId::as_str);
        // No name and no id holds a newline, no id is empty, and a question has its length before it: no two bindings are the same bytes.
        for part in ["cursor", self.name, self.within, tenant, &question.len().to_string(), question] {
            mac.update(part.as_bytes());
            mac.update(b"\n");
        }
        mac.update(entry);
        mac
    }
}

/// A whole number from 1 to `max`.
pub(crate) fn whole_number(text: &str, max: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=max).contains(number));
    number.ok_or_else(|| format!("must be a whole number from 1 to {max}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(current: u8, previous: Option<u8>) -> SecretKeys {
        SecretKeys { current: [current; 32].into(), previous: previous.map(|byte| [byte; 32].into()) }
    }

    #[test]
    fn a_cursor_opens_for_its_own_tenant_and_list_only() {
        let tenant = |id| TenantId::new(id).expect("an id");
        let (acme, other) = (tenant("acme"), tenant("other"));
        let (old, rotated, new) = (keys(1, None), keys(2, Some(1)), keys(2, None));
        let list = |name, tenant, keys| List { name, within: "", tenant: Some(tenant), keys };
        let cursor = list("quarantine", &acme, &old).seal("qua_1", "");
        assert_eq!(list("quarantine", &acme, &old).open(&cursor, "").as_deref(), Ok("qua_1"));
        assert_eq!(list("quarantine", &acme, &rotated).open(&cursor, "").as_deref(), Ok("qua_1"));
        let operators = List { tenant: None, ..list("quarantine", &acme, &old) };
        for foreign in
            [operators, list("quarantine", &other, &old), list("metrics", &acme, &old), list("quarantine", &acme, &new)]
        {
            assert_eq!(foreign.open(&cursor, "").map_err(|error| error.code), Err(Code::InvalidCursor));
        }
        for bad in ["", "!", "abc", &cursor[1..], &format!("{cursor}A")] {
            assert!(list("quarantine", &acme, &old).open(bad, "").is_err(), "{bad}");
        }
        assert!(list("quarantine", &acme, &old).open(&cursor, "order=key\n").is_err(), "another question");
    }
}
