//! What `tidemark dev` prints once everything answers.

use std::collections::BTreeMap;

use serde_json::json;
use tidemark_domain::{Definitions, TenantId};

/// Addresses and keys of a running dev process.
pub(crate) struct Banner {
    pub(crate) api_url: String,
    pub(crate) admin_url: String,
    pub(crate) dynamodb_url: String,
    pub(crate) keys: BTreeMap<TenantId, String>,
    pub(crate) operator_key: String,
}

impl Banner {
    /// One line, for scripts.
    pub(crate) fn print_json(&self) {
        let Self { api_url, admin_url, dynamodb_url, keys, operator_key } = self;
        let keys: BTreeMap<&str, &String> = keys.iter().map(|(tenant, key)| (tenant.as_str(), key)).collect();
        println!(
            "{}",
            json!({
                "api_url": api_url, "admin_url": admin_url, "dynamodb_url": dynamodb_url,
                "keys": keys, "operator_key": operator_key,
            })
        );
    }

    /// For people: lines to paste.
    pub(crate) fn print(&self, definitions: &Definitions, is_quiet: bool) {
        let Self { api_url, admin_url, dynamodb_url, keys, operator_key } = self;
        println!("Tidemark is running. Ctrl-C stops it.\n");
        println!("  API       {api_url}   (read it at {api_url}/docs)");
        println!("  DynamoDB  {dynamodb_url}   (for the AWS CLI: --endpoint-url, any credentials, any region)");
        println!("  probes    {admin_url}/readyz and /metrics\n");
        for (tenant, key) in keys {
            println!("  key of tenant {tenant}: {key}");
        }
        println!("  key of an operator: {operator_key}\n");
        let (Some(metric), Some((tenant, key))) = (definitions.metrics.keys().next(), self.first_key()) else { return };
        println!("Ask for the numbers of tenant {tenant}:\n");
        println!("  KEY={key}");
        println!("  curl -H \"Authorization: Bearer $KEY\" '{api_url}/v1/metrics/{metric}/values'");
        if let Some(dimension) = definitions.metrics[metric].group_by.iter().find_map(|set| {
            let mut dimensions = set.dimensions();
            dimensions.next().filter(|_| dimensions.len() == 0)
        }) {
            println!("  curl -H \"Authorization: Bearer $KEY\" '{api_url}/v1/metrics/{metric}/values?group_by={dimension}'");
        }
        println!("  curl -H \"Authorization: Bearer $KEY\" '{api_url}/v1/status'\n");
        if is_quiet {
            println!("Nothing is written by itself. Put an item into a source table and ask again:\n");
        } else {
            println!("Sample orders keep coming. Or put one of your own:\n");
        }
        for source in definitions.sources.values() {
            println!("  table {}", source.table);
        }
    }

    fn first_key(&self) -> Option<(&TenantId, &String)> {
        let demo = self.keys.iter().find(|(tenant, _)| tenant.as_str() == "demo");
        demo.or_else(|| self.keys.iter().next())
    }
}
