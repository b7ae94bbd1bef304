//! The data table itself: its schema and index, and the protections it is created with.

mod index;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, PointInTimeRecoverySpecification, ScalarAttributeType,
    TableDescription, TableStatus, TimeToLiveSpecification,
};

use crate::Store;
use crate::error::Error;
use crate::key::{EXPIRES_AT, PK, SK};

/// How often a table being created is asked for its state, and how many times: five minutes in all.
const POLL: std::time::Duration = std::time::Duration::from_millis(500);
const POLLS_MAX: usize = 600;

/// The names of Tidemark's two tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    /// Aggregates, levels, tenants, keys, quarantine.
    pub data: String,
    /// Leases, positions, and the running definitions.
    pub control: String,
}

/// What creating a table came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// False: it was there already.
    pub is_new: bool,
    /// Protections that the endpoint does not offer.
    pub warnings: Vec<String>,
}

impl Store {
    /// Creates the data table, on demand, with its index, TTL, point-in-time recovery and deletion protection, and waits until both
    /// are active. A table that is there already gets the index if it has none; the protections are set again, which changes nothing.
    ///
    /// # Errors
    /// When the table cannot be created, or a protection cannot be set. One the endpoint does not know is a warning.
    pub async fn create_data_table(&self) -> Result<Created, Error> {
        let table = &self.tables.data;
        let is_new = match self.describe(table).await {
            Ok(_) => false,
            Err(Error::TableMissing(_)) => {
                self.create(table).await?;
                true
            }
            Err(error) => return Err(error),
        };
        self.wait_until_active(table).await?;
        self.create_index(table).await?;
        let mut warnings = Vec::new();
        self.enable_time_to_live(table, &mut warnings).await?;
        self.enable_recovery(table, &mut warnings).await?;
        self.protect(table, &mut warnings).await?;
        Ok(Created { is_new, warnings })
    }

    /// Checks that both tables are there, and the index.
    ///
    /// # Errors
    /// [`Error::TableMissing`] names the first that is not; [`Error::IndexMissing`] stands for one that is still being built, too.
    pub async fn verify_tables(&self) -> Result<(), Error> {
        let data = self.describe(&self.tables.data).await?;
        self.describe(&self.tables.control).await?;
        if index::is_active(&data) { Ok(()) } else { Err(Error::IndexMissing(self.tables.data.clone())) }
    }

    async fn describe(&self, table: &str) -> Result<TableDescription, Error> {
        let described = self.client.describe_table().table_name(table).send().await;
        let described = described.map_err(|error| Error::from_sdk(table, error))?;
        described.table.ok_or_else(|| Error::Other("DescribeTable answers without a table".into()))
    }

    async fn create(&self, table: &str) -> Result<(), Error> {
        let mut request = self.client.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
        for (name, kind) in [(PK, KeyType::Hash), (SK, KeyType::Range)] {
            request = request.attribute_definitions(text_attribute(name)).key_schema(key_element(name, kind));
        }
        for attribute in index::attributes() {
            request = request.attribute_definitions(attribute);
        }
        request = request.global_secondary_indexes(index::by_index());
        match request.send().await {
            Ok(_) => Ok(()),
            // Somebody else creates it at the same moment: waiting for it is all that is left to do.
            Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_in_use_exception()) => Ok(()),
            Err(error) => Err(Error::from_sdk(table, error)),
        }
    }

    async fn wait_until_active(&self, table: &str) -> Result<(), Error> {
        for _ in 0..POLLS_MAX {
            if self.describe(table).await?.table_status == Some(TableStatus::Active) {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        Err(Error::Other(format!("the table `{table}` did not become active").into()))
    }

    async fn enable_time_to_live(&self, table: &str, warnings: &mut Vec<String>) -> Result<(), Error> {
        let described = self.client.describe_time_to_live().table_name(table).send().await;
        let described = match described {
            Ok(output) => output.time_to_live_description,
            Err(error) => {
                warnings.push(refused(table, "time to live", error)?);
                return Ok(());
            }
        };
        use aws_sdk_dynamodb::types::TimeToLiveStatus::{Enabled, Enabling};
        if matches!(described.and_then(|ttl| ttl.time_to_live_status), Some(Enabled | Enabling)) {
            return Ok(());
        }
        let ttl = TimeToLiveSpecification::builder().attribute_name(EXPIRES_AT).enabled(true).build();
        let ttl = ttl.expect("name and switch are set");
        if let Err(error) = self.client.update_time_to_live().table_name(table).time_to_live_specification(ttl).send().await {
            warnings.push(refused(table, "time to live", error)?);
        }
        Ok(())
    }

    async fn enable_recovery(&self, table: &str, warnings: &mut Vec<String>) -> Result<(), Error> {
        let recovery = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true).build();
        let recovery = recovery.expect("the switch is set");
        let request = self.client.update_continuous_backups().table_name(table).point_in_time_recovery_specification(recovery);
        for _ in 0..POLLS_MAX {
            match request.clone().send().await {
                Ok(_) => return Ok(()),
                // A table that was just created is being prepared for backups.
                Err(error) if error.code() == Some("ContinuousBackupsUnavailableException") => {}
                Err(error) => {
                    warnings.push(refused(table, "point-in-time recovery", error)?);
                    return Ok(());
                }
            }
            tokio::time::sleep(POLL).await;
        }
        Err(Error::Other(
            format!("the table `{table}` is not ready for point-in-time recovery: run `tidemark init` again").into(),
        ))
    }

    async fn protect(&self, table: &str, warnings: &mut Vec<String>) -> Result<(), Error> {
        if let Err(error) = self.client.update_table().table_name(table).deletion_protection_enabled(true).send().await {
            warnings.push(refused(table, "deletion protection", error)?);
        }
        Ok(())
    }
}

fn text_attribute(name: &str) -> AttributeDefinition {
    let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build();
    attribute.expect("name and type are set")
}

fn key_element(name: &str, kind: KeyType) -> KeySchemaElement {
    KeySchemaElement::builder().attribute_name(name).key_type(kind).build().expect("name and type are set")
}

/// The warning of a protection that the endpoint does not offer.
///
/// # Errors
/// Whatever else the call failed with: it may well offer it.
fn refused<E>(table: &str, feature: &str, error: SdkError<E>) -> Result<String, Error>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match error.code() {
        Some(code @ ("UnknownOperationException" | "ValidationException")) => {
            let why = error.message().unwrap_or(code);
            Ok(format!("table `{table}`: this endpoint has no {feature} ({why})"))
        }
        _ => Err(Error::from_sdk(table, error)),
    }
}
