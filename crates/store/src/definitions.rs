//! The running definitions: one document in the control table, changed only by conditional writes. STREAMS §5.

mod running;

pub use running::RunningDefinitions;

use jiff::Timestamp;
use tidemark_domain::running::{self as document, Refused};
use tidemark_domain::{Definitions, Running};

use crate::Store;
use crate::error::Error;
use crate::item::{Stored, key_item, n, s};
use crate::key;

const DOCUMENT: &str = "document";
const VERSION: &str = "version";
const FORMAT: &str = "format";

/// How often a proposal is made again when another process adopts one at the same moment.
const ADOPTIONS_MAX: usize = 10;

/// What the deployment runs after a file was proposed.
#[derive(Debug, Clone)]
pub struct Adopted {
    pub running: Running,
    /// What a user should know: names that keep running although the file lacks them, and the like.
    pub warnings: Vec<String>,
}

/// What a file would change.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// What runs. Where nothing runs yet, the file itself, as a version below every other: whatever a worker adopts replaces it.
    pub running: Running,
    /// What is to run; `None`: nothing changes.
    pub next: Option<Running>,
    /// As [`Adopted::warnings`].
    pub warnings: Vec<String>,
}

/// Why a file was not adopted.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Store(#[from] Error),
}

impl Store {
    /// The running document; `None` before the first adoption.
    ///
    /// # Errors
    /// When it cannot be read, or is of a newer format than this binary knows.
    pub async fn running(&self) -> Result<Option<Running>, Error> {
        let table = &self.tables.control;
        let request = self.client.get_item().table_name(table).set_key(Some(key_item(&key::definitions()))).consistent_read(true);
        let output = request.send().await.map_err(|error| Error::from_sdk(table, error))?;
        let Some(item) = output.item else { return Ok(None) };
        let stored = Stored(&item);
        match Running::from_json(&stored.text(DOCUMENT)?) {
            Ok(running) => Ok(Some(running)),
            Err(document::Error::Format { found }) => Err(Error::NewerFormat { known: document::FORMAT, found }),
            Err(error) => Err(stored.corrupt(DOCUMENT, &error.to_string())),
        }
    }

    /// Adopts a definition file: what is new in it begins to count at `now`, what contradicts the running definitions is refused.
    /// For workers, who have looked at the tables that it names.
    ///
    /// # Errors
    /// [`AdoptError::Refused`] names every change that cannot be made this way, and the ways on.
    pub async fn adopt(&self, file: &Definitions, now: Timestamp) -> Result<Adopted, AdoptError> {
        for _ in 0..ADOPTIONS_MAX {
            let Proposal { running, next, warnings } = self.propose(file, now).await?;
            let Some(next) = next else { return Ok(Adopted { running, warnings }) };
            match self.put_running(&next).await {
                Ok(()) => return Ok(Adopted { running: next, warnings }),
                Err(Error::ConditionFailed) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AdoptError::Store(Error::ConditionFailed))
    }

    /// What a definition file would change, and nothing is changed.
    ///
    /// # Errors
    /// As [`adopt`](Self::adopt).
    pub async fn propose(&self, file: &Definitions, now: Timestamp) -> Result<Proposal, AdoptError> {
        let Some(running) = self.running().await? else {
            let next = Running::first(file);
            return Ok(Proposal { running: Running { version: 0, ..next.clone() }, next: Some(next), warnings: Vec::new() });
        };
        let proposal = running.propose(file, now)?;
        let warnings = proposal.warnings.iter().map(ToString::to_string).collect();
        Ok(Proposal { running, next: proposal.next, warnings })
    }

    /// Replaces the running document by its successor.
    ///
    /// # Errors
    /// [`Error::ConditionFailed`] when somebody else has put another successor first. A retry of a write that had won is a success.
    pub async fn put_running(&self, next: &Running) -> Result<(), Error> {
        let table = &self.tables.control;
        let document = serde_json::to_string(next).expect("the document is plain data with text keys");
        let mut item = key_item(&key::definitions());
        item.insert(DOCUMENT.to_owned(), s(&document));
        item.insert(VERSION.to_owned(), n(next.version));
        item.insert(FORMAT.to_owned(), n(next.format));
        // Only the direct predecessor may be replaced; our own document standing there is a lost answer.
        let condition = if next.version == 1 {
            "attribute_not_exists(#version) OR #document = :document"
        } else {
            "#version = :predecessor OR #document = :document"
        };
        let mut put = self.client.put_item().table_name(table).set_item(Some(item)).condition_expression(condition);
        put = put
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_names("#document", DOCUMENT)
            .expression_attribute_values(":document", s(document));
        if next.version > 1 {
            put = put.expression_attribute_values(":predecessor", n(next.version - 1));
        }
        put.send().await.map(|_| ()).map_err(|error| Error::from_sdk(table, error))
    }
}
