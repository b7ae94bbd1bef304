//! One computation for all who ask at once, and nobody's answer for anybody else.

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::*;
use crate::freshness::Present;
use crate::problem::Unavailable;

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(600);

fn question(tenant: &str, meaning: &str) -> Question {
    Question { tenant: TenantId::new(tenant).expect("an id"), meaning: meaning.to_owned() }
}

fn answer(text: &str) -> SharedAnswer {
    let reading = crate::sources::reading_of(None);
    SharedAnswer::new("text/csv", text.as_bytes().to_vec(), Freshness::of(&reading, Present::at(jiff::Timestamp::UNIX_EPOCH)))
}

async fn text(answers: &Answers, tenant: &str, meaning: &str, computed: &str) -> Vec<u8> {
    let answer = answers.get(question(tenant, meaning), async { Ok(answer(computed)) }).await.expect("an answer");
    answer.body.to_vec()
}

proptest! {
    #[test]
    fn no_answer_is_given_to_another_tenant_or_question(
        asked in prop::collection::vec(("[ab]{1,2}", "[xy=#\n]{0,3}"), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let answers = Answers::new(LONG);
            for (tenant, meaning) in asked {
                let own = format!("{tenant}|{meaning}");
                let given = text(&answers, &tenant, &meaning, &own).await;
                prop_assert_eq!(given, own.as_bytes());
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn the_same_question_is_answered_from_memory_while_the_answer_is_young() {
    let (kept, forgotten) = (Answers::new(LONG), Answers::new(Duration::ZERO));
    for (answers, second) in [(kept, "first"), (forgotten, "second")] {
        assert_eq!(text(&answers, "acme", "q", "first").await, b"first");
        assert_eq!(text(&answers, "acme", "q", "second").await, second.as_bytes());
    }
}

#[tokio::test]
async fn errors_are_told_to_whoever_waits_and_not_kept() {
    let answers = Answers::new(LONG);
    let failed = answers.get(question("acme", "q"), async { Err(ApiError::Unavailable(Unavailable::Store)) }).await;
    assert!(matches!(failed, Err(ApiError::Told(problem)) if problem.code == "store_unavailable"));
    assert_eq!(text(&answers, "acme", "q", "good").await, b"good");
}

#[tokio::test]
async fn whoever_asks_meanwhile_waits_and_takes_over_if_the_first_is_cancelled() {
    let (answers, begun, computed) = (Answers::new(LONG), Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let mut leader = JoinSet::new();
    let (shared, started) = (answers.clone(), Arc::clone(&begun));
    leader.spawn(async move {
        let hang = async {
            started.notify_one();
            std::future::pending().await
        };
        shared.get(question("acme", "q"), hang).await.map(|_| ())
    });
    begun.notified().await;
    let mut waiters = JoinSet::new();
    for _ in 0..50 {
        let (shared, computed) = (answers.clone(), Arc::clone(&computed));
        waiters.spawn(async move {
            let compute = async {
                computed.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Ok(answer("theirs"))
            };
            shared.get(question("acme", "q"), compute).await.map(|answer| answer.body.to_vec())
        });
    }
    // On one thread: every waiter has asked once all of them have been polled.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(computed.load(Ordering::Relaxed), 0, "they wait");
    leader.shutdown().await;
    while let Some(given) = waiters.join_next().await {
        assert_eq!(given.expect("it ends").expect("an answer"), b"theirs");
    }
    assert_eq!(computed.load(Ordering::Relaxed), 1, "one of them computes for all");
}

#[tokio::test]
async fn there_are_only_so_many_bytes_and_answers() {
    let answers = Answers::new(LONG);
    let large = "x".repeat(1024 * 1024);
    for number in 0..100 {
        text(&answers, "acme", &format!("large {number}"), &large).await;
    }
    answers.0.run_pending_tasks().await;
    assert!(answers.0.weighted_size() <= BYTES_MAX, "{}", answers.0.weighted_size());
    for number in 0..10_000 {
        text(&answers, "acme", &format!("small {number}"), "").await;
    }
    answers.0.run_pending_tasks().await;
    assert!(answers.0.entry_count() <= BYTES_MAX / ENTRY_BYTES_MIN as u64, "{}", answers.0.entry_count());
}

#[test]
fn responses_that_send_the_same_answer_hold_its_bytes_once_and_until_the_last_is_sent() {
    let limits = crate::limits::Limits::new(crate::limits::Rates::DEFAULT);
    let (answer, tenant) = (answer(&"x".repeat(1_000)), TenantId::new("acme").expect("an id"));
    let hold = || answer.hold(&limits.memory, &tenant).expect("there is room");
    let (first, second) = (hold(), hold());
    assert_eq!(limits.memory.held(), 1_000);
    drop(first);
    assert_eq!(limits.memory.held(), 1_000);
    drop(second);
    assert_eq!(limits.memory.held(), 0, "an answer that only waits for the next question holds nothing");
    let _third = hold();
    assert_eq!(limits.memory.held(), 1_000);
}
