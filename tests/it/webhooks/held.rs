//! Old news: what a worker finds out while it catches up.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};
use tidemark_domain::alert::AlertState;
use tidemark_domain::rule::Severity;
use tidemark_runtime::clock;
use tidemark_store::{EventKey, EventState, Slot};
use tidemark_tests::deployment::{DEADLINE, RunningIngest, tables};
use tidemark_tests::{Fault, When, wait_until};
use tidemark_webhooks::event::EventType;

use super::{Scene, asked};

impl Scene {
    /// From now on, no worker reads the stream: its watermark is what the test says.
    fn stop_reading(&self) {
        self.deployment.world.front().fault("GetRecords", When::Matching(Box::new(|_| true)), Fault::Throttle);
    }

    /// A worker of a stream that has shown a record. One that has shown none may be late by much more than a test wants to wait.
    async fn worker_of_a_live_stream(&self) -> RunningIngest {
        let worker = self.worker().await;
        self.stock("salt", 1_000).await;
        worker
    }

    async fn publish(&self, watermark: Timestamp) {
        let known = self.deployment.streams.streams_of("Stock").await.unwrap().remove(0);
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let ms = |at: Timestamp| AttributeValue::N(at.as_millisecond().to_string());
        let put = self.deployment.world.dynamodb().put_item().table_name(tables().control);
        let put = put.item("pk", text("WATERMARK")).item("sk", text(known.id.as_str()));
        put.item("watermark_ms", ms(watermark)).item("published_ms", ms(clock::now())).send().await.unwrap();
    }
}

#[tokio::test]
async fn of_a_past_that_is_caught_up_only_what_still_holds_is_told() {
    let scene = Scene::start().await;
    scene.endpoint("all", None).await;
    // Nobody reads: tea runs out and is restocked, a mug runs out.
    scene.stock("tea", 3).await;
    scene.stock("tea", 30).await;
    scene.stock("mug", 1).await;
    let written = clock::now();
    let max_age = SignedDuration::from_millis(1500);
    wait_until("all of it to be old", DEADLINE, async || clock::now() > written + max_age * 2).await;
    let worker = scene.worker_with(|settings| settings.alert_max_age = max_age).await;
    scene.receiver.until_taken("all", &["fired"]).await;
    scene.until_nothing_is_due().await;
    assert_eq!(scene.receiver.all().len(), 1, "the past of tea is not told");
    let told = &scene.receiver.all()[0].json()["data"]["alert"];
    assert_eq!((&told["item"], &told["state"]), (&"mug".into(), &"firing".into()));
    for alert in scene.alerts().await {
        let is_over = alert.state != AlertState::Firing;
        for sequence in 1..=alert.sequence {
            let key = EventKey::Alert { alert: alert.id.clone(), sequence };
            let state = scene.store().event(&scene.tenant, &key).await.unwrap().unwrap().state;
            assert_eq!(state, if is_over { EventState::Skipped } else { EventState::Done });
        }
    }
    worker.stop().await;
}

#[tokio::test]
async fn an_event_is_held_until_its_stream_has_caught_up() {
    let scene = Scene::start().await;
    scene.endpoint("all", None).await;
    let worker = scene.worker_of_a_live_stream().await;
    let since = clock::now() + SignedDuration::from_secs(2);
    scene.commit_held("mug", 1, since).await;
    scene.receiver.until_taken("all", &["fired"]).await;
    let watermark = scene.watermark().await;
    assert!(watermark > since, "{watermark}, not yet {since}");
    scene.until_nothing_is_due().await;
    worker.stop().await;
}

#[tokio::test]
async fn an_end_that_was_caught_up_is_told_to_those_who_heard_of_the_beginning() {
    let scene = Scene::start().await;
    scene.endpoint("all", None).await;
    scene.endpoint("ends", Some(&[EventType::AlertResolved])).await;
    let worker = scene.worker_of_a_live_stream().await;
    scene.commit("tea", 3, clock::now()).await;
    scene.receiver.until_taken("all", &["fired"]).await;
    scene.commit_held("tea", 30, clock::now()).await;
    scene.receiver.until_taken("all", &["fired", "resolved"]).await;
    scene.until_nothing_is_due().await;
    assert!(scene.receiver.received("ends").is_empty(), "an episode that is over is no news to anybody else");
    worker.stop().await;
}

#[tokio::test]
async fn a_fresh_event_stands_for_those_held_before_it() {
    let scene = Scene::start().await;
    scene.endpoint("all", None).await;
    let rule = scene.rule(None, &[(Severity::Warning, "10"), (Severity::Critical, "0")]);
    scene.store().create_rule(&scene.tenant, &rule, clock::now()).await.unwrap();
    scene.commit_held("mug", 3, clock::now() + SignedDuration::from_hours(1)).await;
    scene.commit("mug", 0, clock::now()).await;
    let worker = scene.worker().await;
    scene.receiver.until_taken("all", &["escalated"]).await;
    scene.until_nothing_is_due().await;
    worker.stop().await;
}

#[tokio::test]
async fn however_long_catching_up_takes_nothing_is_told_before_the_watermark_is_there() {
    let scene = Scene::start().await;
    scene.endpoint("all", None).await;
    scene.stop_reading();
    // Long beside any pause between two steps of the watermark, however busy the machine is.
    let max_age = SignedDuration::from_secs(10);
    let worker = scene.worker_with(|settings| settings.alert_max_age = max_age).await;
    let since = clock::now();
    scene.commit_held("mug", 1, since).await;
    let mut watermark = since - SignedDuration::from_hours(20);
    wait_until("far more than the age at which events are held", DEADLINE, async || {
        watermark += SignedDuration::from_mins(1);
        scene.publish(watermark).await;
        clock::now() > since + max_age * 2
    })
    .await;
    assert!(scene.receiver.all().is_empty(), "the watermark moved all the time, and is at {watermark}");
    scene.publish(since + SignedDuration::from_millis(1)).await;
    scene.receiver.until_taken("all", &["fired"]).await;
    scene.until_nothing_is_due().await;
    worker.stop().await;
}

#[tokio::test]
async fn a_stream_that_comes_to_a_standstill_holds_nothing_for_ever() {
    let scene = Scene::start().await;
    scene.endpoint("all", None).await;
    scene.stop_reading();
    let max_age = SignedDuration::from_secs(2);
    let worker = scene.worker_with(|settings| settings.alert_max_age = max_age).await;
    let since = clock::now();
    scene.publish(since - SignedDuration::from_hours(20)).await;
    scene.commit_held("mug", 1, since).await;
    scene.receiver.until_taken("all", &["fired"]).await;
    assert!(clock::now() >= since + max_age);
    scene.until_nothing_is_due().await;
    worker.stop().await;
}

#[tokio::test]
async fn while_events_are_held_nothing_is_written_of_them_and_their_watermark_is_read_once_a_second() {
    let scene = Scene::start().await;
    for number in 0..30 {
        scene.commit_held(&format!("item-{number}"), 1, clock::now() + SignedDuration::from_hours(1)).await;
    }
    let [queries, writes, reads] = ["Query", "UpdateItem", "GetItem"].map(|call| scene.overhear(call));
    let began = clock::now();
    let worker = scene.worker().await;
    wait_until("a hundred looks", DEADLINE, async || queries.count(|query| asked(query).0.starts_with("DUE#")) > 100).await;
    let of_events = |write: &serde_json::Value| write["Key"]["pk"]["S"].as_str().is_some_and(|pk| pk.contains("#AE#"));
    assert_eq!(writes.count(of_events), 0);
    let reads = reads.count(|read| read["Key"]["pk"]["S"] == "WATERMARK");
    let seconds = usize::try_from(clock::now().duration_since(began).as_secs()).unwrap();
    // One more at its beginning, and one of the worker itself.
    assert!(reads <= seconds + 2, "{reads} in {seconds} s");
    worker.stop().await;
}

#[tokio::test]
async fn an_event_that_an_older_binary_holds_among_what_is_due_is_told_when_its_stream_is_there() {
    let scene = Scene::start().await;
    scene.endpoint("all", None).await;
    let since = clock::now() + SignedDuration::from_secs(3);
    scene.commit_held("mug", 1, since).await;
    let key = EventKey::Alert { alert: scene.alerts().await[0].id.clone(), sequence: 1 };
    let EventKey::Alert { alert, .. } = &key else { unreachable!("as it was made") };
    let text = |text: String| AttributeValue::S(text);
    let update = scene.deployment.world.dynamodb().update_item().table_name(tables().data);
    let update = update.key("pk", text(format!("T#acme#AE#{alert}"))).key("sk", text("000001".to_owned()));
    let update = update.update_expression("SET index_pk = :pk, index_sk = :sk");
    let update = update.expression_attribute_values(":pk", text(format!("DUE#{}", Slot::of_event(&key).number())));
    let place = format!("!event#{:015}#{alert}#1", clock::now().as_millisecond());
    update.expression_attribute_values(":sk", text(place)).send().await.unwrap();
    let worker = scene.worker_of_a_live_stream().await;
    let among_what_is_due = async || scene.store().due(Slot::of_event(&key), None, 100).await.unwrap().entries;
    wait_until("it to be put where it waits", Duration::from_secs(20), async || among_what_is_due().await.is_empty()).await;
    scene.receiver.until_taken("all", &["fired"]).await;
    let watermark = scene.watermark().await;
    assert!(watermark > since, "{watermark}, not yet {since}");
    scene.until_nothing_is_due().await;
    worker.stop().await;
}
