//! Dimension values that are known to be stored, so that each is stored once and not with every commit.

use tidemark_domain::Running;
use tidemark_domain::delta::RowKey;
use tidemark_store::{KnownValue, Store};

use crate::known::Known;

/// Most values remembered, some 16 MB; a forgotten one is stored again, which changes nothing.
const VALUES_MAX: usize = 200_000;
/// Most values of one tenant among them.
const VALUES_OF_TENANT_MAX: usize = VALUES_MAX / 8;

/// Stores dimension values before the rows that first have them.
#[derive(Debug)]
pub(crate) struct Values {
    store: Store,
    known: Known<KnownValue>,
}

impl Values {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, known: Known::new(VALUES_MAX, VALUES_OF_TENANT_MAX) }
    }

    /// Stores the values of these rows that are not known to be stored.
    ///
    /// # Errors
    /// When DynamoDB does not take them.
    pub(crate) async fn remember<'a>(
        &self,
        running: &Running,
        rows: impl Iterator<Item = &'a RowKey>,
    ) -> Result<(), tidemark_store::Error> {
        let new = self.known.without(rows.flat_map(|row| values_of(running, row)));
        if !new.is_empty() {
            self.store.remember_values(&new).await?;
            self.known.remember(new);
        }
        Ok(())
    }
}

/// The values a row names. Every dimension is in some set with its value; the sets' rows together name them all.
fn values_of(running: &Running, row: &RowKey) -> Vec<KnownValue> {
    let Some(metric) = running.metrics.get(&row.metric) else { return Vec::new() };
    let Some(set) = metric.definition.group_by.iter().find(|set| set.key() == *row.set) else { return Vec::new() };
    let known = |(dimension, value): (&tidemark_domain::DimensionName, &tidemark_domain::Group)| KnownValue {
        tenant: row.tenant.clone(),
        metric: row.metric.clone(),
        dimension: dimension.clone(),
        value: value.clone(),
    };
    set.dimensions().zip(&row.groups).map(known).collect()
}
