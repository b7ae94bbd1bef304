//! Announcing an alert once more while it fires and nobody has acknowledged it.
//!
//! The job is one item per alert, moved by everything that changes when the alert is to be repeated. The event, the alert and the
//! job's next place are one transaction under the row's version: a crash after it finds nothing to do, one before it nothing done.

use std::time::Duration;

use tidemark_domain::alert::Act;
use tidemark_domain::{Alert, AlertId, Level};
use tidemark_runtime::clock;
use tidemark_store::{ActError, AlertRecord, Change, Claimed, EventKey, Job, Slot};

use super::{Dispatch, Error};
use crate::stock::Writing;

/// When an act that was overtaken again and again is tried anew.
const OVERTAKEN: Duration = Duration::from_secs(1);

impl Dispatch {
    pub(super) async fn repeat(&self, job: &mut Claimed<Job>, id: &AlertId) -> Result<(), Error> {
        let now = clock::now();
        let decide = |record: &AlertRecord, level: Option<&Level>| -> Result<Option<Change>, Error> {
            let Ok(Some(acted)) = Act::Repeat.apply(&record.alert, level, now) else { return Ok(None) };
            let event = acted.event.as_ref().map(|event| Writing::of_now(now).event(event)).transpose()?;
            Ok(Some(Change { acted, event }))
        };
        match self.store.act(&job.tenant, id, now, decide).await {
            Ok(alert) => self.after_repeat(job, &alert).await,
            Err(ActError::NotFound) => self.finish(job).await,
            Err(ActError::Refused(error)) => Err(error),
            Err(ActError::Store(tidemark_store::Error::ConditionFailed)) => {
                self.store.put_job_off(job, now + OVERTAKEN, now).await?;
                Ok(())
            }
            Err(ActError::Store(error)) => Err(error.into()),
        }
    }

    /// If anything was written, it moved the job: then this claim is lost, and what is done here comes to nothing.
    async fn after_repeat(&self, job: &mut Claimed<Job>, alert: &Alert) -> Result<(), Error> {
        self.wake.slot(Slot::of_event(&EventKey::Alert { alert: alert.id.clone(), sequence: alert.sequence }));
        match alert.repeat_at() {
            Some(at) => {
                self.store.put_job_off(job, at, clock::now()).await?;
                Ok(())
            }
            None => self.finish(job).await,
        }
    }
}
