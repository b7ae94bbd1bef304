//! The endpoints of all tenants, for operators. Their items are found by reading the whole table: nothing lists them, since a tenant
//! has endpoints without ever having been created.

use tidemark_domain::{EndpointId, TenantId};

use super::{Endpoint, SECRET};
use crate::error::Error;
use crate::item::{Item, Stored, s};
use crate::key;
use crate::{Store, Tenant};

/// Where a walk goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointWalk(Item);

/// A part of the table.
#[derive(Debug)]
pub struct EndpointPage {
    pub endpoints: Vec<(Tenant, Endpoint)>,
    /// Rows that were read for it, whatever they are.
    pub rows: usize,
    /// `None`: that was all.
    pub next: Option<EndpointWalk>,
}

impl Store {
    /// A part of all endpoints, beginning at the first. A walk costs half a read unit for each 4 KB of the table. What is created
    /// during a walk may be missed.
    ///
    /// # Errors
    /// When DynamoDB cannot be asked, or an endpoint cannot be read.
    pub async fn endpoints_of_all(&self, from: Option<EndpointWalk>) -> Result<EndpointPage, Error> {
        let table = &self.tables.data;
        let scan = self.client.scan().table_name(table).set_exclusive_start_key(from.map(|walk| walk.0));
        let scan = scan
            .filter_expression("begins_with(#sk, :prefix) AND attribute_exists(#secret)")
            .expression_attribute_names("#sk", key::SK)
            .expression_attribute_names("#secret", SECRET)
            .expression_attribute_values(":prefix", s(EndpointId::PREFIX));
        let output = scan.send().await.map_err(|error| Error::from_sdk(table, error))?;
        let of_tenant = |item: &Item| {
            let tenant = Stored(item).text(key::PK).map(|pk| key::tenant_of_endpoints(&pk).and_then(|id| TenantId::new(id).ok()));
            tenant.transpose().map(|tenant| Ok((Tenant::named_by_operator(tenant?), Endpoint::read(item)?)))
        };
        let endpoints = output.items.iter().flatten().filter_map(of_tenant).collect::<Result<_, Error>>()?;
        let rows = usize::try_from(output.scanned_count).unwrap_or_default();
        Ok(EndpointPage { endpoints, rows, next: output.last_evaluated_key.map(EndpointWalk) })
    }
}
