//! `tidemark quarantine list` without a name: how much of each source is quarantined, and whose it is.

use jiff::Timestamp;
use serde_json::{Value, json};
use tidemark_domain::{SourceName, TenantId};
use tidemark_runtime::process::Failure;

use crate::connection::Connection;
use crate::output::{self, say};

/// What stands in place of a tenant that cannot be read. No tenant has such an id.
const NOBODY: &str = "(unreadable)";

/// How much of one source was ever quarantined for one tenant.
struct Share {
    source: SourceName,
    /// `None`: those whose tenant could not be read.
    tenant: Option<TenantId>,
    records: u64,
    /// When the latest of them was written to the source; not kept for those of nobody.
    last_at: Option<Timestamp>,
}

/// Lists at most so many tenants; those whose tenant cannot be read are one more line of each source.
pub(super) async fn list(connection: &Connection, limit: u16, json: bool) -> Result<(), Failure> {
    let (mut shares, mut left, mut more) = (Vec::new(), usize::from(limit), false);
    for (source, count) in connection.store.quarantine_counts_of_sources().await? {
        let page = connection.store.concerned(&source, left).await?;
        left -= page.tenants.len();
        more |= page.more;
        let share = |(tenant, records, last_at)| Share { source: source.clone(), tenant, records, last_at };
        let of_tenants = page.tenants.into_iter().map(|(tenant, count)| (Some(tenant), count.records, count.last_at));
        let of_nobody = (count.without_tenant > 0).then_some((None, count.without_tenant, None));
        shares.extend(of_tenants.chain(of_nobody).map(share));
    }
    if json {
        output::json(&json!({ "data": shares.iter().map(Share::in_json).collect::<Vec<_>>(), "more": more }));
    } else {
        print(&shares, more.then_some(limit));
    }
    Ok(())
}

/// Prints the shares, which are all there are unless they were cut at so many tenants, and what to ask next.
fn print(shares: &[Share], cut_at: Option<u16>) {
    if shares.is_empty() {
        say!("nothing was ever quarantined");
        return;
    }
    output::table(&["source", "tenant", "records", "last"], &shares.iter().map(Share::row).collect::<Vec<_>>());
    if let Some(limit) = cut_at {
        super::say_cut(limit);
    }
    let hint = |option: &str, which: &str| say!("`tidemark quarantine list {option}` lists {which}");
    if let Some(tenant) = shares.iter().find_map(|share| share.tenant.as_ref()) {
        hint(&format!("--tenant {tenant}"), "a tenant's records of the last 30 days");
    }
    if let Some(Share { source, .. }) = shares.iter().find(|share| share.tenant.is_none()) {
        hint(&format!("--source {source}"), "those of a source whose tenant cannot be read");
    }
}

impl Share {
    fn row(&self) -> Vec<String> {
        let tenant = self.tenant.as_ref().map_or(NOBODY, TenantId::as_str);
        let last_at = self.last_at.map_or_else(String::new, |at| at.to_string());
        vec![self.source.to_string(), tenant.to_owned(), self.records.to_string(), last_at]
    }

    fn in_json(&self) -> Value {
        let last_at = self.last_at.map(|at| at.to_string());
        json!({ "source": self.source, "tenant": self.tenant, "records": self.records, "last_at": last_at })
    }
}
