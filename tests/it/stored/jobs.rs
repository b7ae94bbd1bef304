//! Jobs go on where they were left.

use tidemark_store::{JobKind, NewJob, Slot, Work};

use super::{Shelf, at, endpoint, new_alert};

#[tokio::test]
async fn a_job_goes_on_where_it_was_left() {
    let shelf = Shelf::new().await;
    let kind = JobKind::Recover { endpoint: endpoint().id, since: at(-1000), until: at(0) };
    let new = NewJob { kind: kind.clone(), due_at: at(0), created_at: at(0) };
    let id = shelf.store.create_job(&shelf.tenant, &new).await.unwrap();
    let find = async || shelf.due(Slot::of_job(&id), None).await.into_iter().find(|due| due.work == Work::Job(id.clone()));
    let mut job = shelf.store.claim_job(&find().await.unwrap(), at(30_000)).await.unwrap().expect("claimed");
    assert_eq!((&job.value.kind, job.value.progress.cursor.as_deref()), (&kind, None));
    let before = job.clone();
    job.value.progress.cursor = Some("evt_1".to_owned());
    job.value.progress.counts.insert("requeued".to_owned(), 7);
    assert!(shelf.store.save_job(&mut job, at(60_000)).await.unwrap());
    assert_eq!(job.until(), at(60_000));
    assert!(!shelf.store.finish_job(&before, at(1)).await.unwrap(), "the claim has moved");

    // Its dispatcher dies; another goes on.
    let due = find().await.expect("it comes due again");
    assert_eq!(due.at, at(60_000));
    let next = shelf.store.claim_job(&due, at(90_000)).await.unwrap().expect("claimed");
    assert_eq!(next.value.progress, job.value.progress);
    assert!(!shelf.store.save_job(&mut job, at(99_000)).await.unwrap());
    assert!(shelf.store.finish_job(&next, at(70_000)).await.unwrap());
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
