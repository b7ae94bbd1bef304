//! Deltas that their rows cannot take, on their way to quarantine.

use std::collections::BTreeMap;

use tidemark_domain::TenantId;

use super::RowWrite;
use crate::key;
use crate::provenance::Provenance;
use crate::quarantine::QuarantineWrite;

/// One record for each tenant, which names every row and its deltas: with them the rows' true sums can be told.
pub(super) fn records<'a>(rows: impl Iterator<Item = &'a RowWrite>, from: &Provenance) -> Vec<QuarantineWrite> {
    let mut tenants: BTreeMap<&TenantId, Vec<String>> = BTreeMap::new();
    for row in rows {
        let deltas: Vec<String> = row.delta.iter().map(|(measure, delta)| format!("{measure} {delta}")).collect();
        let named = format!("{}: {}", key::aggregate(&row.key, row.lane), deltas.join(", "));
        tenants.entry(&row.key.tenant).or_default().push(named);
    }
    tenants.into_iter().map(|(tenant, rows)| QuarantineWrite::overflowed(tenant.clone(), from, &rows.join("; "))).collect()
}
