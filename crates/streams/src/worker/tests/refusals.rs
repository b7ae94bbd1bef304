//! What a worker does while DynamoDB refuses it.

use super::*;

/// How often applications tick.
const STEP: Duration = Duration::from_millis(100);

/// A worker that holds a shard, and a service that denies it everything.
async fn world_of_one(mono: Instant) -> (Emulator, Worker, FakeStream) {
    let (emulator, streams, source) = world(&shards(&[("a", None)])).await;
    let mut worker = worker(&streams, &source, mono).await;
    acquire_one(&mut worker, mono).await;
    (emulator, worker, FakeStream::new(|_, _| refusal("AccessDeniedException")))
}

/// Ticks for so long after `from`; the times that a tick failed.
async fn tick_for(worker: &mut Worker, from: Instant, span: Duration) -> Vec<Duration> {
    let mut failed = Vec::new();
    let mut passed = Duration::ZERO;
    while passed < span {
        if worker.tick(at(0), from + passed).await.is_err() {
            failed.push(passed);
        }
        assert!(worker.is_held_up() || failed.is_empty(), "it is not well in between");
        passed += STEP;
    }
    failed
}

#[tokio::test]
async fn a_worker_that_is_denied_everything_asks_less_and_less() {
    let mono = Instant::now();
    let (_emulator, mut worker, denied) = world_of_one(mono).await;
    worker.streams.dynamodb = denied.clients().dynamodb;
    let failed = tick_for(&mut worker, mono + TTL / 5, Duration::from_secs(60)).await;
    let calls = denied.calls().len();
    assert_eq!(failed.len(), calls, "one call a try");
    let within = |seconds: std::ops::Range<u64>| failed.iter().filter(|at| seconds.contains(&at.as_secs())).count();
    assert!((5..=40).contains(&within(0..12)), "while the lease holds: {failed:?}");
    assert!((3..=30).contains(&within(20..60)), "once it does not: {failed:?}");
}

#[tokio::test]
async fn a_hiccup_that_passes_in_time_does_not_cost_the_lease() {
    let mono = Instant::now();
    let (_emulator, mut worker, denied) = world_of_one(mono).await;
    let (emulators, refusing) = (worker.streams.dynamodb.clone(), denied.clients().dynamodb);
    let (mut beaten, hiccup) = (mono, TTL * 3 / 5);
    // Waits are drawn: what is wrong shows in one of these.
    for _ in 0..10 {
        let due = beaten + TTL / 5;
        worker.streams.dynamodb = refusing.clone();
        assert!(!tick_for(&mut worker, due, hiccup).await.is_empty());
        worker.streams.dynamodb = emulators.clone();
        let mut passed = hiccup;
        while worker.is_held_up() {
            passed += STEP;
            worker.tick(at(0), due + passed).await.unwrap();
        }
        assert!(due + passed < beaten + TTL && !worker.is_paused(due + passed), "{passed:?}");
        beaten = due + passed;
    }
}
