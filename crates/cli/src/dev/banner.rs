//! What `tidemark dev` prints once everything answers.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde_json::json;
use tidemark_domain::{Definitions, TenantId};

use super::example::Example;
use super::sample;
use crate::output::say;

/// The parts of a signed request that the embedded DynamoDB asks for. It verifies none of them.
const SIGNATURE: &str =
    "-H 'X-Amz-Date: any' -H 'Authorization: AWS4-HMAC-SHA256 Credential=any, SignedHeaders=any, Signature=any'";

/// Addresses and keys of a running dev process.
pub(crate) struct Banner {
    pub(crate) api_url: String,
    pub(crate) admin_url: String,
    pub(crate) dynamodb_url: String,
    /// Of the receiver.
    pub(crate) webhook_url: String,
    pub(crate) keys: BTreeMap<TenantId, String>,
    pub(crate) operator_key: String,
}

impl Banner {
    /// One line, for scripts.
    pub(crate) fn print_json(&self) {
        let Self { api_url, admin_url, dynamodb_url, keys, operator_key, .. } = self;
        let keys: BTreeMap<&str, &String> = keys.iter().map(|(tenant, key)| (tenant.as_str(), key)).collect();
        say!(
            "{}",
            json!({
                "api_url": api_url, "admin_url": admin_url, "dynamodb_url": dynamodb_url,
                "keys": keys, "operator_key": operator_key,
            })
        );
    }

    /// For people: lines to paste.
    pub(crate) fn print(&self, definitions: &Definitions, today: Date) {
        let Self { api_url, admin_url, dynamodb_url, webhook_url, keys, operator_key } = self;
        say!("Tidemark is running. Ctrl-C stops it.\n");
        say!("  API       {api_url}/docs");
        say!("  DynamoDB  {dynamodb_url} (any region, any credentials)");
        say!("  Probes    {admin_url}/readyz, {admin_url}/metrics");
        say!("  Webhooks  {webhook_url} receives those of {}, and tells below what arrives\n", sample::stock_tenant());
        let width = keys.keys().map(|tenant| tenant.as_str().len()).max().unwrap_or(0).max("operator".len());
        for (tenant, key) in keys {
            say!("  Key of {:width$}  {key}", tenant.as_str());
        }
        say!("  Key of {:width$}  {operator_key}", "operator");
        let Some((tenant, key)) = self.shown_key() else { return };
        let Some(Example { metric, dimension, put }) = Example::of(definitions, tenant, today) else { return };
        let group_by = dimension.map(|dimension| format!("?group_by={dimension}")).unwrap_or_default();
        say!("\nToday's numbers of {tenant}:\n");
        say!("  curl '{api_url}/v1/metrics/{metric}/values{group_by}' -H 'Authorization: Bearer {key}'\n");
        let Some(put) = put else { return };
        say!("Write an item of your own and ask again; change its numbers, write it again, and ask again:\n");
        say!(
            "  curl {dynamodb_url} -H 'X-Amz-Target: DynamoDB_20120810.PutItem' -H 'Content-Type: application/x-amz-json-1.0' \\"
        );
        say!("    {SIGNATURE} \\");
        say!("    -d {}\n", quoted(&put.to_string()));
    }

    fn shown_key(&self) -> Option<(&TenantId, &String)> {
        let demo = self.keys.iter().find(|(tenant, _)| tenant.as_str() == "demo");
        demo.or_else(|| self.keys.iter().next())
    }
}

/// A text as one word of a shell's command line.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_inside_a_text_ends_no_word() {
        assert_eq!(quoted("a'b"), r"'a'\''b'");
    }
}
