//! Jobs go on where they were left, and answer everything that they were asked for.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use tidemark_domain::{JobId, Rule};
use tidemark_store::{Claimed, Due, Job, JobEnd, JobKind, NewJob, Slot, Store, Work};
use tidemark_tests::deployment::tables;
use tidemark_tests::{Fault, When};

use super::{Shelf, at, endpoint, new_alert, rule, tenant};

/// A quarter of an hour, in milliseconds.
const MUCH_LATER: i64 = 900_000;

impl Shelf {
    /// All jobs in their tenants' queues.
    async fn queued_jobs(&self) -> Vec<Due> {
        let mut jobs = Vec::new();
        for slot in Slot::all() {
            jobs.extend(self.due(slot, None).await.into_iter().filter(|due| matches!(due.work, Work::Job(_))));
        }
        jobs
    }

    /// The only job there is to do, claimed.
    async fn claimed_job(&self, until: i64) -> Claimed<Job> {
        let [due] = &self.queued_jobs().await[..] else { panic!("there is one job") };
        self.store.claim_job(due, at(until)).await.unwrap().expect("claimed")
    }

    /// Writes a rule again.
    async fn write_again(&self, written: &mut Rule, ms: i64) {
        *written = self.store.update_rule(&self.tenant, written, written.clone(), at(ms)).await.unwrap();
    }

    async fn job_item(&self, id: &JobId) -> HashMap<String, AttributeValue> {
        let get = self.world.dynamodb().get_item().table_name(tables().data).consistent_read(true);
        let get = get.key("pk", AttributeValue::S("T#acme#JOB".to_owned())).key("sk", AttributeValue::S(id.to_string()));
        get.send().await.unwrap().item.expect("a job")
    }
}

#[tokio::test]
async fn a_job_goes_on_where_it_was_left() {
    let shelf = Shelf::new().await;
    let kind = JobKind::Recover { endpoint: endpoint().id, since: at(-1000), until: at(0) };
    let new = NewJob { kind: kind.clone(), due_at: at(0), created_at: at(0) };
    let id = shelf.store.create_job(&shelf.tenant, &new).await.unwrap();
    let find = async || shelf.due(Slot::of_job(&id), None).await.into_iter().find(|due| due.work == Work::Job(id.clone()));
    let mut job = shelf.store.claim_job(&find().await.unwrap(), at(30_000)).await.unwrap().expect("claimed");
    assert_eq!((&job.value.kind, job.value.progress.cursor.as_deref()), (&kind, None));
    let mut before = job.clone();
    job.value.progress.cursor = Some("evt_1".to_owned());
    job.value.progress.counts.insert("requeued".to_owned(), 7);
    assert!(shelf.store.save_job(&mut job, at(60_000)).await.unwrap());
    assert_eq!(job.until(), at(60_000));
    assert_eq!(shelf.store.finish_job(&mut before, at(1)).await.unwrap(), JobEnd::Lost, "the claim has moved");

    // Its dispatcher dies; another goes on.
    let due = find().await.expect("it comes due again");
    assert_eq!(due.at, at(60_000));
    let mut next = shelf.store.claim_job(&due, at(90_000)).await.unwrap().expect("claimed");
    assert_eq!(next.value.progress, job.value.progress);
    assert!(!shelf.store.save_job(&mut job, at(99_000)).await.unwrap());
    assert_eq!(shelf.store.finish_job(&mut next, at(70_000)).await.unwrap(), JobEnd::Done);
    assert!(find().await.is_none());
    let done = shelf.store.job(&shelf.tenant, &id).await.unwrap().unwrap();
    assert!(done.is_done && done.progress.cursor.is_none());
    assert_eq!(done.progress.counts, next.value.progress.counts);
}

#[tokio::test]
async fn an_alert_has_one_repeat_job_which_is_moved() {
    let shelf = Shelf::new().await;
    let alert = new_alert(at(0));
    let mut ids = Vec::new();
    for due in [10, 20] {
        let kind = JobKind::Repeat { alert: alert.clone() };
        ids.push(shelf.store.create_job(&shelf.tenant, &NewJob { kind, due_at: at(due), created_at: at(0) }).await.unwrap());
    }
    assert_eq!(ids[0], ids[1]);
    let due = shelf.due(Slot::of_job(&ids[0]), None).await;
    assert_eq!(due.iter().map(|due| due.at).collect::<Vec<_>>(), [at(20)]);
}

#[tokio::test]
async fn a_repeat_that_is_due_much_later_waits_apart_and_is_claimed_there_or_takes_its_turn_in_its_tenants_queue() {
    let shelf = Shelf::new().await;
    let kind = JobKind::Repeat { alert: new_alert(at(0)) };
    let new = NewJob { kind, due_at: at(MUCH_LATER), created_at: at(0) };
    let id = shelf.store.create_job(&shelf.tenant, &new).await.unwrap();
    let apart = async || shelf.store.waiting(Slot::of_job(&id), None, 100).await.unwrap().entries.pop();
    let queued = async || shelf.queued_jobs().await.pop();
    let seen = apart().await.expect("it waits");
    assert_eq!((&seen.work, seen.at, seen.is_apart()), (&Work::Job(id.clone()), at(MUCH_LATER), true));
    assert!(queued().await.is_none(), "it costs looks at the queues nothing");

    assert!(shelf.store.queue_up(&seen, seen.at).await.unwrap());
    assert!(!shelf.store.queue_up(&seen, seen.at).await.unwrap(), "once");
    let in_turn = queued().await.expect("it is in its tenant's queue");
    assert_eq!((in_turn.at, in_turn.is_apart(), apart().await), (at(MUCH_LATER), false, None));
    let mut job = shelf.store.claim_job(&in_turn, at(930_000)).await.unwrap().expect("claimed");
    assert!(shelf.store.put_job_off(&mut job, at(2 * MUCH_LATER), at(MUCH_LATER)).await.unwrap());
    assert!(queued().await.is_none(), "the next repeat waits apart, too");

    let mut job = shelf.store.claim_job(&apart().await.expect("it waits"), at(1_830_000)).await.unwrap().expect("claimed");
    assert_eq!((queued().await.expect("a claim lapses in the queue").at, apart().await), (at(1_830_000), None));
    assert!(shelf.store.put_job_off(&mut job, at(1_801_000), at(1_800_000)).await.unwrap());
    assert_eq!((queued().await.map(|due| due.at), apart().await), (Some(at(1_801_000)), None), "what is due soon stays");
}

#[tokio::test]
async fn however_often_rules_of_a_scope_are_written_its_job_is_one() {
    let shelf = Shelf::new().await;
    let mut written = rule(Some("tea"), "10");
    shelf.store.create_rule(&shelf.tenant, &written, at(0)).await.unwrap();
    for round in 1..=50 {
        shelf.write_again(&mut written, round).await;
    }
    let [due] = &shelf.queued_jobs().await[..] else { panic!("there is one job") };
    assert_eq!(due.at, at(0), "since the first of them");
    shelf.store.create_rule(&tenant("rival"), &rule(Some("tea"), "10"), at(1)).await.unwrap();
    shelf.store.create_rule(&shelf.tenant, &rule(None, "10"), at(1)).await.unwrap();
    assert_eq!(shelf.queued_jobs().await.len(), 3, "another tenant's, and another scope's, are others");
}

#[tokio::test]
async fn a_rule_written_while_a_pass_is_under_way_brings_another_pass_and_leaves_the_claim() {
    let shelf = Shelf::new().await;
    let mut written = rule(Some("tea"), "10");
    shelf.store.create_rule(&shelf.tenant, &written, at(0)).await.unwrap();
    let mut job = shelf.claimed_job(30_000).await;
    shelf.write_again(&mut written, 1).await;
    job.value.progress.cursor = Some("x".to_owned());
    assert!(shelf.store.save_job(&mut job, at(31_000)).await.unwrap(), "its claim stands");
    shelf.write_again(&mut written, 2).await;
    assert_eq!(shelf.store.finish_job(&mut job, at(3)).await.unwrap(), JobEnd::AskedAgain);

    let [due] = &shelf.queued_jobs().await[..] else { panic!("it is due again") };
    let mut again = shelf.store.claim_job(due, at(60_000)).await.unwrap().expect("claimed");
    assert_eq!(again.value.progress.cursor, None, "from the beginning");
    assert_eq!(shelf.store.finish_job(&mut again, at(4)).await.unwrap(), JobEnd::Done, "one pass answers both");
    assert!(shelf.queued_jobs().await.is_empty());
    let done = shelf.job_item(&again.value.id).await;
    assert!(done.contains_key("expires_at") && !done.contains_key("pass_asked"), "{done:?}");

    shelf.write_again(&mut written, 5).await;
    let [due] = &shelf.queued_jobs().await[..] else { panic!("it is to be done again") };
    assert_eq!((&due.work, due.at), (&Work::Job(again.value.id.clone()), at(5)));
    let open = shelf.job_item(&again.value.id).await;
    assert!(!open.contains_key("expires_at"), "what is to be done does not expire: {open:?}");
    assert_eq!(shelf.store.finish_job(&mut shelf.claimed_job(90_000).await, at(6)).await.unwrap(), JobEnd::Done);
}

#[tokio::test]
async fn what_a_rules_job_was_asked_for_outlives_a_crash_at_any_point_of_a_pass() {
    let shelf = Shelf::new().await;
    let mut written = rule(Some("tea"), "10");
    shelf.store.create_rule(&shelf.tenant, &written, at(0)).await.unwrap();

    // Right after the claim: the next one begins the pass, and by the rules of then.
    let _crashed = shelf.claimed_job(30_000).await;
    shelf.write_again(&mut written, 1).await;
    let mut job = shelf.claimed_job(60_000).await;
    assert_eq!(job.value.progress.cursor, None);

    // In the middle, and a rule was written before or after: the next one ends that pass, and begins another.
    job.value.progress.cursor = Some("x".to_owned());
    assert!(shelf.store.save_job(&mut job, at(61_000)).await.unwrap());
    shelf.write_again(&mut written, 2).await;
    let mut next = shelf.claimed_job(90_000).await;
    assert_eq!(next.value.progress.cursor.as_deref(), Some("x"));
    assert_eq!(shelf.store.finish_job(&mut job, at(3)).await.unwrap(), JobEnd::Lost);
    assert_eq!(shelf.store.finish_job(&mut next, at(3)).await.unwrap(), JobEnd::AskedAgain);

    // Between two passes.
    let mut last = shelf.claimed_job(120_000).await;
    assert_eq!(last.value.progress.cursor, None);
    assert_eq!(shelf.store.finish_job(&mut last, at(4)).await.unwrap(), JobEnd::Done);
}

#[tokio::test]
async fn a_job_that_meets_a_rules_transaction_is_saved_and_ended_all_the_same() {
    let shelf = Shelf::new().await;
    shelf.store.create_rule(&shelf.tenant, &rule(Some("tea"), "10"), at(0)).await.unwrap();
    let store = Store::new(&shelf.world.config(), tables());
    let mut job = shelf.claimed_job(30_000).await;
    shelf.world.front().fault("UpdateItem", When::Next(4), Fault::TransactionConflict);
    assert!(store.save_job(&mut job, at(60_000)).await.unwrap());
    shelf.world.front().fault("UpdateItem", When::Next(4), Fault::TransactionConflict);
    assert_eq!(store.finish_job(&mut job, at(1)).await.unwrap(), JobEnd::Done);
}
