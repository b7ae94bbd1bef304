//! Alerts: what people do to them and what commits decide comes one after the other. ALERTS §3.

use std::sync::atomic::{AtomicUsize, Ordering};

use tidemark_domain::alert::{Act, Error as Refusal};
use tidemark_domain::{Alert, Level, Standing};
use tidemark_store::{ActError, AlertQuery, AlertRecord, AlertsWanted, Change, CommitError, Decisions, Error};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use super::{Shelf, at, event_write, level_key, new_alert, tenant};

/// What the API has an act decide.
fn apply(act: &Act, record: &AlertRecord, level: Option<&Level>) -> Result<Option<Change>, Refusal> {
    let acted = act.apply(&record.alert, level, at(1))?;
    Ok(acted.map(|acted| Change { event: acted.event.as_ref().map(event_write), acted }))
}

async fn act(shelf: &Shelf, alert: &Alert, act: Act) -> Result<Alert, ActError<Refusal>> {
    shelf.store.act(&shelf.tenant, &alert.id, at(1), |record, level| apply(&act, record, level)).await
}

fn acknowledge() -> Act {
    Act::Acknowledge { by: "key_1".to_owned(), note: None }
}

fn resolve() -> Act {
    Act::Resolve { by: "key_1".to_owned(), note: None }
}

/// Both decide by the same row; whoever is second decides again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_and_a_commit_at_once_both_count() {
    let shelf = Shelf::new().await;
    let alert = shelf.fired("tea").await;
    let row = async || shelf.store.level(&shelf.tenant, &level_key("tea")).await.unwrap().expect("a row");

    // The commit decides first, and is made second.
    let (commit, _) = shelf.decided("tea", "4").await;
    let acknowledged = act(&shelf, &alert, acknowledge()).await.unwrap();
    assert!(acknowledged.acknowledged.is_some());
    assert!(matches!(shelf.send(commit).await, Err(CommitError::DecisionsStale(_))));
    shelf.commit("tea", "4").await;
    assert_eq!(row().await.standing, Standing::Firing(acknowledged), "decided again, it keeps the acknowledgement");

    // The other way round: a commit is made while the act is being decided.
    let decided = AtomicUsize::new(0);
    let until = at(60_000);
    let muted = shelf.store.act(&shelf.tenant, &alert.id, at(1), |record, level| {
        if decided.fetch_add(1, Ordering::SeqCst) == 0 {
            block_in_place(|| Handle::current().block_on(shelf.commit("tea", "3")));
        }
        apply(&Act::Mute { until, by: "key_1".to_owned(), note: None }, record, level)
    });
    let muted = muted.await.unwrap();
    assert_eq!(decided.load(Ordering::SeqCst), 2, "the act is decided again");
    let row = row().await;
    assert_eq!((row.level.available().to_string(), row.standing), ("3".to_owned(), Standing::Firing(muted.clone())));
    assert_eq!(shelf.store.alert(&shelf.tenant, &alert.id).await.unwrap().unwrap().alert, muted, "the copy is the same");
    assert!(muted.acknowledged.is_some());
}

/// A row that changes all the time is one of a popular item: whoever acts on its alert gets through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_act_that_is_overtaken_again_and_again_is_done_in_the_end() {
    let shelf = Shelf::new().await;
    let alert = shelf.fired("tea").await;
    let overtaken = async |times: usize| {
        let decided = AtomicUsize::new(0);
        let acted = shelf.store.act(&shelf.tenant, &alert.id, at(1), |record, level| {
            let nth = decided.fetch_add(1, Ordering::SeqCst);
            if nth < times {
                block_in_place(|| Handle::current().block_on(shelf.commit("tea", if nth.is_multiple_of(2) { "3" } else { "4" })));
            }
            apply(&acknowledge(), record, level)
        });
        acted.await
    };
    let acted = overtaken(usize::MAX).await;
    assert!(matches!(acted, Err(ActError::Store(Error::ConditionFailed))), "not for ever: {acted:?}");
    assert!(overtaken(7).await.unwrap().acknowledged.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_that_recovers_while_it_is_resolved_by_hand_ends_once() {
    let shelf = Shelf::new().await;
    let alert = shelf.fired("tea").await;
    let resolved = shelf.store.act(&shelf.tenant, &alert.id, at(1), |record, level| {
        if record.alert.is_firing() {
            block_in_place(|| Handle::current().block_on(shelf.commit("tea", "50")));
        }
        apply(&resolve(), record, level)
    });
    let resolved = resolved.await.unwrap();
    assert!(format!("{:?}", resolved.state).contains("Recovered"), "{:?}", resolved.state);
    let events = shelf.store.alert_events(&shelf.tenant, &alert.id, None, 10).await.unwrap().events;
    let kinds: Vec<&str> = events.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(kinds, ["inventory.alert.resolved", "inventory.alert.fired"]);
}

#[tokio::test]
async fn an_act_that_changes_nothing_writes_nothing_and_may_be_refused() {
    let shelf = Shelf::new().await;
    let alert = shelf.fired("tea").await;
    act(&shelf, &alert, acknowledge()).await.unwrap();
    let before = shelf.store.level(&shelf.tenant, &level_key("tea")).await.unwrap().unwrap();
    act(&shelf, &alert, acknowledge()).await.unwrap();
    assert_eq!(shelf.store.level(&shelf.tenant, &level_key("tea")).await.unwrap().unwrap(), before);

    let resolved = act(&shelf, &alert, resolve()).await.unwrap();
    assert_eq!(act(&shelf, &alert, resolve()).await.unwrap(), resolved, "resolving again changes nothing");
    assert!(matches!(act(&shelf, &alert, acknowledge()).await, Err(ActError::Refused(Refusal::AlreadyResolved))));
    let row = shelf.store.level(&shelf.tenant, &level_key("tea")).await.unwrap().unwrap();
    assert!(matches!(row.standing, Standing::Latched(_)));

    let unknown = Alert { id: new_alert(at(0)), ..alert.clone() };
    assert!(matches!(act(&shelf, &unknown, resolve()).await, Err(ActError::NotFound)));
    let rival = shelf.store.act(&tenant("rival"), &alert.id, at(1), |record, level| apply(&resolve(), record, level)).await;
    assert!(matches!(rival, Err(ActError::NotFound)));
    let (decisions, _) = shelf.decided("tea", "4").await;
    let rivals = shelf.store.decide(&tenant("rival"), &decisions).await;
    assert!(matches!(rivals, Err(Error::Refused(_))), "{rivals:?}");
    shelf.store.decide(&shelf.tenant, &decisions).await.unwrap();
    assert!(matches!(shelf.store.decide(&shelf.tenant, &decisions).await, Err(Error::ConditionFailed)));
}

#[tokio::test]
async fn alerts_are_listed_newest_first_and_firing_ones_by_themselves() {
    let shelf = Shelf::new().await;
    let mut ids = Vec::new();
    for item in ["a", "b", "c", "d"] {
        ids.push(shelf.fired(item).await.id);
    }
    shelf.commit("b", "50").await;
    shelf.commit("d", "50").await;
    ids.sort();
    ids.reverse();
    let list = async |which, limit| {
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = shelf.store.alerts(&shelf.tenant, &AlertQuery { which, after, limit }).await.unwrap();
            assert!(!page.alerts.is_empty() && page.alerts.len() <= limit);
            listed.extend(page.alerts.into_iter().map(|record| record.alert));
            after = page.next;
            if after.is_none() {
                return listed;
            }
        }
    };
    for limit in [1, 3, 10] {
        let all = list(AlertsWanted::All, limit).await;
        assert_eq!(all.iter().map(|alert| &alert.id).collect::<Vec<_>>(), ids.iter().collect::<Vec<_>>());
        let mut firing: Vec<String> = list(AlertsWanted::Firing, limit).await.into_iter().map(|alert| alert.key.item).collect();
        firing.sort();
        assert_eq!(firing, ["a", "c"]);
    }
}

#[tokio::test]
async fn events_of_an_alert_that_are_not_settled_are_found_in_order() {
    let shelf = Shelf::new().await;
    let alert = shelf.fired("tea").await;
    // A resolution and, by hand, what a second and third event would be.
    let resolved = act(&shelf, &alert, resolve()).await.unwrap();
    for sequence in [3, 4] {
        let mut event = event_write(&act_event(&resolved));
        event.key = tidemark_store::EventKey::Alert { alert: alert.id.clone(), sequence };
        shelf.store.decide(&shelf.tenant, &Decisions { events: vec![event], ..Decisions::default() }).await.unwrap();
    }
    let unsettled = async || shelf.store.unsettled_events(&shelf.tenant, &alert.id, 4).await.unwrap();
    let found = unsettled().await;
    assert_eq!(found.iter().map(|event| sequence(&event.key)).collect::<Vec<_>>(), [1, 2, 3]);
    for event in &found[..2] {
        assert!(shelf.store.skip_event(&shelf.tenant, event).await.unwrap());
    }
    assert_eq!(unsettled().await.iter().map(|event| sequence(&event.key)).collect::<Vec<_>>(), [3]);
    assert!(!shelf.store.skip_event(&shelf.tenant, &found[0]).await.unwrap(), "settled once");
    let earlier = shelf.store.alert_events(&shelf.tenant, &alert.id, Some(3), 1).await.unwrap();
    assert_eq!((sequence(&earlier.events[0].key), earlier.more), (2, true));
}

fn act_event(alert: &Alert) -> tidemark_domain::AlertEvent {
    tidemark_domain::AlertEvent {
        kind: tidemark_domain::alert::EventKind::Resolved,
        sequence: alert.sequence,
        at: alert.event_at,
        alert: alert.clone(),
    }
}

fn sequence(key: &tidemark_store::EventKey) -> u32 {
    match key {
        tidemark_store::EventKey::Alert { sequence, .. } => *sequence,
        tidemark_store::EventKey::Endpoint { .. } => 0,
    }
}
