//! Longer work, done in turns: a rule's levels judged anew, an endpoint's deliveries sent again, an alert repeated.
//!
//! A crash anywhere in here heals by itself. A job's place is stored with its claim after each page; whoever claims the job next goes
//! on there, and does at most one page again. That is harmless: each thing a job writes is written on condition that it is as it was
//! read, and what is done already is found done.
//!
//! A job that has had its turn is due again at once, behind its tenant's others: a long one holds up none of them. Tenants share the jobs
//! that may be under way in the process, so one tenant's jobs hold up no other's.

mod reading;
mod recover;
mod repeat;
mod rules;

use std::time::Duration;

use tidemark_runtime::clock;
use tidemark_store::{Claimed, Due, Job, JobEnd, JobKind, Slot};
use tokio::time::Instant;

pub(super) use self::reading::RulesReader;
use self::recover::Recovery;
use self::rules::Judge;
use super::{Dispatch, Error};

/// How long a job works before it lets others have a turn. A page may take a little longer.
const TURN: Duration = Duration::from_secs(2);

/// What a page of a job's work comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Page {
    /// There is more to do, from here on.
    More(String),
    Done,
}

/// A job that is done page by page, its place stored after each.
enum Pages<'a> {
    Judge(Judge<'a>),
    Recovery(Recovery<'a>),
}

impl Dispatch {
    /// Claims a due job and works on it for a turn.
    pub(super) async fn work_on(&self, due: &Due) -> Result<(), Error> {
        let Some(mut job) = self.store.claim_job(due, self.claim_end()).await? else { return Ok(()) };
        let mut work = match job.value.kind.clone() {
            JobKind::Repeat { alert } => return self.repeat(&mut job, &alert).await,
            JobKind::Rules { scope } => Pages::Judge(self.judge(&mut job, scope).await?),
            JobKind::Recover { endpoint, since, until } => Pages::Recovery(self.recovery(endpoint, since, until)),
        };
        let begun = Instant::now();
        loop {
            match work.next(&mut job).await? {
                Page::Done => return self.finish(&mut job).await,
                Page::More(cursor) => job.value.progress.cursor = Some(cursor),
            }
            let is_over = begun.elapsed() >= TURN || self.stop.is_cancelled();
            let until = if is_over { clock::now() } else { self.claim_end() };
            let is_kept = self.store.save_job(&mut job, until).await?;
            if is_over || !is_kept {
                self.wake.slot(Slot::of_job(&job.value.id));
                return Ok(());
            }
        }
    }
}

impl Dispatch {
    /// Ends a job's pass. If it was asked for again meanwhile, the next pass has its turn as any job that is due.
    async fn finish(&self, job: &mut Claimed<Job>) -> Result<(), Error> {
        if self.store.finish_job(job, clock::now()).await? == JobEnd::AskedAgain {
            self.wake.slot(Slot::of_job(&job.value.id));
        }
        Ok(())
    }
}

impl Pages<'_> {
    async fn next(&mut self, job: &mut Claimed<Job>) -> Result<Page, Error> {
        match self {
            Self::Judge(judge) => judge.page(job).await,
            Self::Recovery(recovery) => recovery.page(job).await,
        }
    }
}

/// Counts something a job did.
fn count(job: &mut Claimed<Job>, what: &str, more: usize) {
    *job.value.progress.counts.entry(what.to_owned()).or_default() += more as u64;
}
