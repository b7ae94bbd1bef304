//! Jobs: longer work of the dispatcher, done in steps whose place is stored.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tidemark_domain::rule::Scope;
use tidemark_domain::{Alert, AlertId, EndpointId, JobId, TenantId};

use crate::due::{Claimed, Due, Place};
use crate::error::Error;
use crate::id::{job_repeating, new_job};
use crate::item::{Item, Stored, item_of, json, n, s};
use crate::key::{self, EXPIRES_AT, SK};
use crate::{Store, Tenant};

const KIND: &str = "kind";
const STATE: &str = "state";
const CURSOR: &str = "cursor";
const COUNTS: &str = "counts";
const CREATED_AT: &str = "created_at";
const OPEN: &str = "open";
const DONE: &str = "done";

/// How long a job that is done is kept.
const RETENTION: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Judge all levels of a scope anew: a rule of this scope is new, changed or gone.
    Rules { scope: Scope },
    /// Send again what was not delivered to an endpoint, of the events fanned out within `[since, until)`.
    Recover { endpoint: EndpointId, since: Timestamp, until: Timestamp },
    /// Announce an alert once more, if it still waits for that.
    Repeat { alert: AlertId },
}

/// A job to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    pub kind: JobKind,
    pub due_at: Timestamp,
    pub created_at: Timestamp,
}

/// A job as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub id: JobId,
    pub kind: JobKind,
    pub is_done: bool,
    pub progress: Progress,
    pub created_at: Timestamp,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Where to go on; its text is the job's own matter. `None`: at the beginning.
    pub cursor: Option<String>,
    /// What was done so far, by name.
    pub counts: BTreeMap<String, u64>,
}

impl NewJob {
    /// Each writing of a job is a job of its own, but for an alert's repeats: they are one, which is moved.
    pub(crate) fn item(&self, tenant: &TenantId) -> (JobId, Item) {
        let id = match &self.kind {
            JobKind::Repeat { alert } => job_repeating(alert),
            JobKind::Rules { .. } | JobKind::Recover { .. } => new_job(self.created_at),
        };
        let mut item = item_of(
            &key::job(tenant, &id),
            [(KIND, json(&self.kind)), (STATE, s(OPEN)), (CREATED_AT, s(self.created_at.to_string()))],
        );
        Place::job(&id, self.due_at).put_into(&mut item);
        (id, item)
    }
}

/// The job that repeats an alert at an instant.
pub(crate) fn repeat_job(alert: &Alert, at: Timestamp) -> Item {
    let job = NewJob { kind: JobKind::Repeat { alert: alert.id.clone() }, due_at: at, created_at: alert.updated_at };
    job.item(&alert.key.tenant).1
}

impl Job {
    fn read(stored: &Stored<'_>) -> Result<Self, Error> {
        let counts = if stored.0.contains_key(COUNTS) { stored.json(COUNTS)? } else { BTreeMap::new() };
        Ok(Self {
            id: stored.parsed(SK)?,
            kind: stored.json(KIND)?,
            is_done: stored.text(STATE)? == DONE,
            progress: Progress { cursor: stored.optional_text(CURSOR)?, counts },
            created_at: stored.moment(CREATED_AT)?,
        })
    }
}

impl Store {
    pub(crate) fn rules_job(
        &self,
        tenant: &TenantId,
        scope: &Scope,
        now: Timestamp,
    ) -> aws_sdk_dynamodb::types::TransactWriteItem {
        let job = NewJob { kind: JobKind::Rules { scope: scope.clone() }, due_at: now, created_at: now };
        self.put(job.item(tenant).1)
    }

    /// # Errors
    /// When it cannot be stored.
    pub async fn create_job(&self, tenant: &Tenant, job: &NewJob) -> Result<JobId, Error> {
        let (id, item) = job.item(tenant.id());
        let put = self.client.put_item().table_name(&self.tables.data).set_item(Some(item));
        put.send().await.map_err(|error| Error::from_sdk(&self.tables.data, error))?;
        Ok(id)
    }

    /// # Errors
    /// When it cannot be read.
    pub async fn job(&self, tenant: &Tenant, id: &JobId) -> Result<Option<Job>, Error> {
        let item = self.get(&key::job(tenant.id(), id)).await?;
        item.map(|item| Job::read(&Stored(&item))).transpose()
    }

    /// Claims a job; `None`: it is another's, or done.
    ///
    /// # Errors
    /// When DynamoDB cannot be asked.
    pub async fn claim_job(&self, due: &Due, until: Timestamp) -> Result<Option<Claimed<Job>>, Error> {
        self.claim(due, until, Job::read).await
    }

    /// Stores how far a claimed job is, as its value says, and keeps it until another instant. False: the claim is lost.
    ///
    /// # Errors
    /// When DynamoDB cannot be asked.
    pub async fn save_job(&self, job: &mut Claimed<Job>, until: Timestamp) -> Result<bool, Error> {
        let progress = &job.value.progress;
        let edit = job.claim.put_off(until)?.set(COUNTS, json(&progress.counts));
        let edit = edit.set_or_remove(CURSOR, progress.cursor.as_ref().map(s));
        self.take_claim(job, edit).await
    }

    /// Ends a claimed job, with its counts as its value says. False: the claim is lost.
    ///
    /// # Errors
    /// When DynamoDB cannot be asked.
    pub async fn finish_job(&self, job: &Claimed<Job>, now: Timestamp) -> Result<bool, Error> {
        let edit = job.claim.end().set(STATE, s(DONE)).remove(CURSOR).set(COUNTS, json(&job.value.progress.counts));
        let edit = edit.set(EXPIRES_AT, n((now + RETENTION).as_second()));
        match self.edit(edit).await {
            Ok(_) => Ok(true),
            Err(Error::ConditionFailed) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
