//! Creating the control table, and source tables with their streams on. An operator's work: a worker never does it.

use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, PointInTimeRecoverySpecification, ScalarAttributeType,
    StreamSpecification, StreamViewType, TableStatus, TimeToLiveSpecification, TimeToLiveStatus,
};

use crate::client::Streams;
use crate::control::key::{EXPIRES_AT, PARTITION, SORT};
use crate::error::Error;

/// A table is there within seconds; a minute says that something is wrong.
const WAIT_TRIES: u32 = 120;
const WAIT: Duration = Duration::from_millis(500);

/// What creating a table came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// False: the table was there before.
    pub is_new: bool,
    /// Protections the endpoint does not know, one line each. The table works without them.
    pub warnings: Vec<String>,
}

impl Streams {
    /// Creates the control table unless it is there: on demand, with time to live, deletion protection and point-in-time
    /// recovery. Returns when it can be used.
    ///
    /// # Errors
    /// When the table cannot be created, is not usable after a minute, or a protection cannot be set. One the endpoint does not
    /// know is a warning.
    pub async fn create_control_table(&self) -> Result<Created, Error> {
        let table = &*self.control_table;
        let request = key(self.dynamodb.create_table().table_name(table), PARTITION, Some(SORT));
        let is_new = self.create(request.deletion_protection_enabled(true), table).await?;
        let unset = [self.enable_ttl(table).await?, self.enable_recovery(table).await?];
        let warnings = unset.into_iter().flatten().collect();
        Ok(Created { is_new, warnings })
    }

    /// Creates a table with string keys and a stream of both images, unless it is there.
    ///
    /// # Errors
    /// When the table cannot be created, or is not usable after a minute.
    pub async fn create_source_table(&self, table: &str, partition: &str, sort: Option<&str>) -> Result<Created, Error> {
        let stream = StreamSpecification::builder().stream_enabled(true).stream_view_type(StreamViewType::NewAndOldImages);
        let stream = stream.build().expect("enabled is set");
        let request = key(self.dynamodb.create_table().table_name(table), partition, sort).stream_specification(stream);
        Ok(Created { is_new: self.create(request, table).await?, warnings: Vec::new() })
    }

    async fn create(&self, request: CreateTableFluentBuilder, table: &str) -> Result<bool, Error> {
        let is_new = match request.billing_mode(BillingMode::PayPerRequest).send().await {
            Ok(_) => true,
            Err(error) if error.code() == Some("ResourceInUseException") => false,
            Err(error) => return Err(Error::of("CreateTable", error)),
        };
        for _ in 0..WAIT_TRIES {
            let answer = self.dynamodb.describe_table().table_name(table).send().await;
            match answer {
                Ok(answer) if answer.table().and_then(|table| table.table_status()) == Some(&TableStatus::Active) => {
                    return Ok(is_new);
                }
                Ok(_) => {}
                // DescribeTable may not see a table that was just created.
                Err(error) if error.code() == Some("ResourceNotFoundException") => {}
                Err(error) => return Err(Error::of("DescribeTable", error)),
            }
            tokio::time::sleep(WAIT).await;
        }
        Err(Error::TableNotActive { table: table.to_owned() })
    }

    /// A warning where the endpoint does not know it.
    async fn enable_ttl(&self, table: &str) -> Result<Option<String>, Error> {
        const FEATURE: &str = "time to live";
        let answer = match self.dynamodb.describe_time_to_live().table_name(table).send().await {
            Ok(answer) => answer,
            Err(error) => return unknown(table, FEATURE, "DescribeTimeToLive", error).map(Some),
        };
        let status = answer.time_to_live_description().and_then(|ttl| ttl.time_to_live_status());
        // DynamoDB refuses to enable it twice.
        if matches!(status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)) {
            return Ok(None);
        }
        let ttl = TimeToLiveSpecification::builder().attribute_name(EXPIRES_AT).enabled(true).build();
        let ttl = ttl.expect("attribute and flag are set");
        match self.dynamodb.update_time_to_live().table_name(table).time_to_live_specification(ttl).send().await {
            Ok(_) => Ok(None),
            Err(error) => unknown(table, FEATURE, "UpdateTimeToLive", error).map(Some),
        }
    }

    /// A warning where the endpoint does not know it.
    async fn enable_recovery(&self, table: &str) -> Result<Option<String>, Error> {
        let recovery = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true).build();
        let recovery = recovery.expect("the flag is set");
        let request = self.dynamodb.update_continuous_backups().table_name(table).point_in_time_recovery_specification(recovery);
        for _ in 0..WAIT_TRIES {
            match request.clone().send().await {
                Ok(_) => return Ok(None),
                // A table that was just created is being prepared for backups.
                Err(error) if error.code() == Some("ContinuousBackupsUnavailableException") => {}
                Err(error) => return unknown(table, "point-in-time recovery", "UpdateContinuousBackups", error).map(Some),
            }
            tokio::time::sleep(WAIT).await;
        }
        Err(Error::TableNotActive { table: table.to_owned() })
    }
}

fn key(request: CreateTableFluentBuilder, partition: &str, sort: Option<&str>) -> CreateTableFluentBuilder {
    let keys = [(Some(partition), KeyType::Hash), (sort, KeyType::Range)];
    keys.into_iter().filter_map(|(name, kind)| Some((name?, kind))).fold(request, |request, (name, kind)| {
        let definition = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build();
        let element = KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
        request
            .attribute_definitions(definition.expect("name and type are set"))
            .key_schema(element.expect("name and type are set"))
    })
}

/// The warning of a protection that the endpoint does not offer.
///
/// # Errors
/// Whatever else the call failed with: it may well offer it.
fn unknown<E>(table: &str, feature: &str, operation: &'static str, error: SdkError<E>) -> Result<String, Error>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match error.code() {
        Some(code @ ("UnknownOperationException" | "ValidationException")) => {
            let why = error.message().unwrap_or(code);
            Ok(format!("table `{table}`: this endpoint has no {feature} ({why})"))
        }
        _ => Err(Error::of(operation, error)),
    }
}

#[cfg(test)]
mod tests;
