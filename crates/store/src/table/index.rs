//! The one index of the data table: work by when it is due, levels by what is available, alerts that fire.
//!
//! It is sparse and has keys only: a few small entries beside the aggregates, which are not in it. Being eventually consistent, it
//! finds candidates; the items themselves decide.

use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, CreateGlobalSecondaryIndexAction, GlobalSecondaryIndex, GlobalSecondaryIndexUpdate, IndexStatus,
    KeySchemaElement, KeyType, Projection, ProjectionType, TableDescription,
};

use super::{key_element, text_attribute};
use crate::Store;
use crate::error::Error;
use crate::key::{BY_INDEX, INDEX_PK, INDEX_SK, PK, SK};

/// How often an index being built is asked for its state, and how many times: an hour in all. DynamoDB scans the whole table for it.
const POLL: Duration = Duration::from_secs(1);
const POLLS_MAX: usize = 3_600;

pub(super) fn attributes() -> [AttributeDefinition; 2] {
    [INDEX_PK, INDEX_SK].map(text_attribute)
}

fn key_schema() -> Vec<KeySchemaElement> {
    vec![key_element(INDEX_PK, KeyType::Hash), key_element(INDEX_SK, KeyType::Range)]
}

fn projection() -> Projection {
    Projection::builder().projection_type(ProjectionType::KeysOnly).build()
}

/// The index of a table to be created.
pub(super) fn by_index() -> GlobalSecondaryIndex {
    let index = GlobalSecondaryIndex::builder().index_name(BY_INDEX).set_key_schema(Some(key_schema())).projection(projection());
    index.build().expect("name and keys are set")
}

/// The state of a table's index; `None`: it has none.
fn status(table: &TableDescription) -> Option<&IndexStatus> {
    let index = table.global_secondary_indexes().iter().find(|index| index.index_name() == Some(BY_INDEX))?;
    index.index_status()
}

pub(super) fn is_active(table: &TableDescription) -> bool {
    status(table) == Some(&IndexStatus::Active)
}

impl Store {
    /// Gives a table its index, if it has none, and waits until that is active.
    pub(super) async fn create_index(&self, table: &str) -> Result<(), Error> {
        if status(&self.describe(table).await?).is_none() {
            self.add_index(table).await?;
        }
        for _ in 0..POLLS_MAX {
            if is_active(&self.describe(table).await?) {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        Err(Error::IndexMissing(table.to_owned()))
    }

    async fn add_index(&self, table: &str) -> Result<(), Error> {
        let create = CreateGlobalSecondaryIndexAction::builder().index_name(BY_INDEX).set_key_schema(Some(key_schema()));
        let create = create.projection(projection()).build().expect("name, keys and projection are set");
        // The table's own keys are among the attributes: the request names all there are.
        let request = [PK, SK].into_iter().fold(self.client.update_table().table_name(table), |request, name| {
            request.attribute_definitions(text_attribute(name))
        });
        let request = attributes().into_iter().fold(request, |request, attribute| request.attribute_definitions(attribute));
        let update = GlobalSecondaryIndexUpdate::builder().create(create).build();
        match request.global_secondary_index_updates(update).send().await {
            Ok(_) => Ok(()),
            // Somebody else builds it at the same moment: waiting for it is all that is left to do.
            Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_in_use_exception()) => Ok(()),
            Err(error) => Err(Error::from_sdk(table, error)),
        }
    }
}
