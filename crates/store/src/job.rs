//! Jobs: longer work of the dispatcher, done in steps whose place is stored.
//!
//! The job that judges the levels of a scope by its rules is one item for each tenant and scope. Each write of a rule of the scope raises
//! the item's number `asked`, in the transaction of the rule. The job makes passes over the levels. A pass notes `asked` when it begins
//! (`pass_asked`), before it reads the rules. The job ends only if `asked` is still what the pass noted; otherwise another pass begins.
//! So after every write of a rule at least one whole pass is made by rules that were read after that write, and however many writes
//! there are while a pass is under way, one more pass answers all of them.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::TransactWriteItem;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tidemark_domain::rule::Scope;
use tidemark_domain::{Alert, AlertId, EndpointId, JobId, TenantId};

use crate::due::{Claimed, Due, Place};
use crate::edit::Edit;
use crate::error::Error;
use crate::id::{job_judging, job_repeating, new_job};
use crate::item::{Item, Stored, item_of, json, n, s};
use crate::key::{self, EXPIRES_AT, SK};
use crate::{Store, Tenant};

const KIND: &str = "kind";
const STATE: &str = "state";
const CURSOR: &str = "cursor";
const COUNTS: &str = "counts";
const CREATED_AT: &str = "created_at";
/// How often the job was asked for.
const ASKED: &str = "asked";
/// What [`ASKED`] was when the pass began that is under way.
const PASS_ASKED: &str = "pass_asked";
const OPEN: &str = "open";
const DONE: &str = "done";

/// How long a job that is done is kept.
const RETENTION: SignedDuration = SignedDuration::from_hours(7 * 24);
/// A job that is due later than this waits apart from its tenant's queue. Else it would cost each look at the queues one read more.
const SOON: SignedDuration = SignedDuration::from_mins(1);

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
    /// What was asked for when the pass under way began: the pass answers it. `None`: the job is of a kind that is asked for once.
    pub(crate) pass_asked: Option<u64>,
}

/// How the end of a claimed job's pass went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobEnd {
    Done,
    /// It was asked for again since the pass began: another pass is due at once.
    AskedAgain,
    /// The claim is lost.
    Lost,
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
        place(tenant, &id, self.due_at, self.created_at).put_into(&mut item);
        (id, item)
    }
}

/// Where a job is until it is due.
fn place(tenant: &TenantId, id: &JobId, due_at: Timestamp, now: Timestamp) -> Place {
    if due_at.duration_since(now) > SOON { Place::job_later(id, due_at) } else { Place::job(tenant, id, due_at) }
}

/// The job that repeats an alert at an instant.
pub(crate) fn repeat_job(alert: &Alert, at: Timestamp) -> Item {
    let job = NewJob { kind: JobKind::Repeat { alert: alert.id.clone() }, due_at: at, created_at: alert.updated_at };
    job.item(&alert.key.tenant).1
}

impl Job {
    /// A job as it is stored. One whose pass has not begun begins it now.
    fn read(stored: &Stored<'_>) -> Result<Self, Error> {
        let cursor = stored.optional_text(CURSOR)?;
        let pass_asked = stored.number(if cursor.is_some() { PASS_ASKED } else { ASKED })?;
        let counts = if stored.0.contains_key(COUNTS) { stored.json(COUNTS)? } else { BTreeMap::new() };
        Ok(Self {
            id: stored.parsed(SK)?,
            kind: stored.json(KIND)?,
            is_done: stored.text(STATE)? == DONE,
            progress: Progress { cursor, counts },
            created_at: stored.moment(CREATED_AT)?,
            pass_asked,
        })
    }
}

impl Store {
    /// # Errors
    /// When it cannot be stored.
    pub async fn create_job(&self, tenant: &Tenant, job: &NewJob) -> Result<JobId, Error> {
        let (id, item) = job.item(tenant.id());
        let put = self.client.put_item().table_name(&self.tables.data).set_item(Some(item));
        put.send().await.map_err(|error| Error::from_sdk(&self.tables.data, error))?;
        Ok(id)
    }

    /// A part of a transaction: has the levels of a tenant's scope judged by the rules that stand after it. A job of the scope that is
    /// under way keeps its claim and its place, and makes another pass; one that is done, or that there is none of yet, is due at once.
    pub(crate) fn rules_job(&self, tenant: &TenantId, scope: &Scope, now: Timestamp) -> TransactWriteItem {
        let (id, kind) = (job_judging(tenant, scope), JobKind::Rules { scope: scope.clone() });
        let edit = Edit::of(&key::job(tenant, &id)).set(KIND, json(&kind)).set(STATE, s(OPEN)).add(ASKED, n(1));
        let edit = edit.set_if_absent(CREATED_AT, s(now.to_string())).remove(EXPIRES_AT);
        Place::job(tenant, &id, now).set_if_absent_by(edit).within(&self.tables.data)
    }

    /// # Errors
    /// When it cannot be read.
    pub async fn job(&self, tenant: &Tenant, id: &JobId) -> Result<Option<Job>, Error> {
        let item = self.get(&key::job(tenant.id(), id)).await?;
        item.map(|item| Job::read(&Stored(&item))).transpose()
    }

    /// Claims a job; `None`: it is another's, or done. One without a cursor begins a pass by this: what is read after the claim is as
    /// new as all that the job was asked for.
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
        let edit = edit.set_or_remove(PASS_ASKED, job.value.pass_asked.map(n));
        self.take_claim(job, edit).await
    }

    /// Has a claimed job come due at another instant. False: the claim is lost.
    ///
    /// # Errors
    /// When DynamoDB cannot be asked.
    pub async fn put_job_off(&self, job: &mut Claimed<Job>, until: Timestamp, now: Timestamp) -> Result<bool, Error> {
        if until.duration_since(now) <= SOON {
            return self.put_off(job, until).await;
        }
        let edit = Place::job_later(&job.value.id, until).set_by(job.claim.edit());
        self.take_claim(job, edit).await
    }

    /// Ends a claimed job whose pass is over, with its counts as its value says; or has another pass begin, if it was asked for again.
    ///
    /// # Errors
    /// When DynamoDB cannot be asked.
    pub async fn finish_job(&self, job: &mut Claimed<Job>, now: Timestamp) -> Result<JobEnd, Error> {
        let counts = json(&job.value.progress.counts);
        let over = |edit: Edit| edit.remove(CURSOR).remove(PASS_ASKED).set(COUNTS, counts.clone());
        let end = over(job.claim.end()).set(STATE, s(DONE)).set(EXPIRES_AT, n((now + RETENTION).as_second()));
        match self.edit_among_others(end.only_if_still(ASKED, job.value.pass_asked.map(n))).await {
            Ok(_) => return Ok(JobEnd::Done),
            Err(Error::ConditionFailed) => {}
            Err(error) => return Err(error),
        }
        let again = over(job.claim.put_off(now)?);
        Ok(if self.take_claim(job, again).await? { JobEnd::AskedAgain } else { JobEnd::Lost })
    }
}
