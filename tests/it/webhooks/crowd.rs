//! Many deliveries at once: an endpoint that is dead takes nothing from the others.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use tidemark_ingest::Settings;
use tidemark_runtime::clock;
use tidemark_store::{Endpoint, Slot};
use tidemark_tests::Reaction;
use tidemark_tests::deployment::tables;
use tokio::time::{Duration, Instant};

use super::{Scene, new_endpoint, new_event};

const DELIVERIES: usize = 10_000;
/// Each is moved once.
const APART: usize = 1_000;
/// DynamoDB takes so many writes of a batch.
const BATCH: usize = 25;
const WITHIN: Duration = Duration::from_secs(2);

impl Scene {
    /// Many deliveries to an endpoint, due now: copies of its first one under other ids, where such places are in the index.
    async fn pile_up(&self, endpoint: &Endpoint, count: usize, place: impl Fn(&str) -> (String, String)) {
        let client = self.deployment.world.dynamodb();
        let (data, now) = (tables().data, clock::now());
        let pk = format!("T#{}#WD#{}", self.tenant.id(), endpoint.id);
        let query = client.query().table_name(&data).key_condition_expression("pk = :pk").consistent_read(true);
        let found = query.expression_attribute_values(":pk", AttributeValue::S(pk)).send().await.unwrap();
        let first = found.items().first().expect("its first delivery").clone();
        let copies: Vec<_> = (0..count)
            .map(|_| {
                let id = AttributeValue::S(new_event(now).as_str().to_owned());
                let (partition, place) = place(id.as_s().unwrap());
                let mut copy: HashMap<String, AttributeValue> = first.clone();
                copy.insert("sk".to_owned(), id);
                copy.insert("index_pk".to_owned(), AttributeValue::S(partition));
                copy.insert("index_sk".to_owned(), AttributeValue::S(place));
                WriteRequest::builder().put_request(PutRequest::builder().set_item(Some(copy)).build().unwrap()).build()
            })
            .collect();
        for batch in copies.chunks(BATCH) {
            let written = client.batch_write_item().request_items(&data, batch.to_vec()).send().await.unwrap();
            assert!(written.unprocessed_items().is_none_or(HashMap::is_empty));
        }
    }
}

/// An endpoint that is dead, and another one in the same slot, whose id sorts behind.
async fn dead_and_beside(scene: &Scene) -> (Endpoint, Endpoint) {
    let (dead, _) = scene.endpoint_with("dead", None, new_endpoint()).await;
    scene.receiver.react("dead", |_| Reaction::Silence);
    let is_beside = |id: &_| Slot::of_endpoint(id) == Slot::of_endpoint(&dead.id) && *id > dead.id;
    let beside = std::iter::repeat_with(new_endpoint).find(is_beside).unwrap();
    let (beside, _) = scene.endpoint_with("beside", None, beside).await;
    (dead, beside)
}

/// A worker as patient as in production, in proportion: what a dead endpoint is given is gone for longer than anybody may wait.
fn patient(settings: &mut Settings) {
    settings.webhooks.pace.timeouts.exchange = WITHIN * 4;
    settings.webhooks.pace.claim = WITHIN * 8;
}

#[tokio::test]
async fn ten_thousand_due_deliveries_to_a_dead_endpoint_do_not_delay_another() {
    let scene = Scene::start().await;
    let (dead, _) = dead_and_beside(&scene).await;
    scene.commit("tea", 3, clock::now()).await;
    let worker = scene.worker_with(patient).await;
    scene.receiver.until_received("dead", 1).await;
    let now = clock::now().as_millisecond();
    let partition = format!("DUE#{}", Slot::of_endpoint(&dead.id).number());
    scene.pile_up(&dead, DELIVERIES, |id| (partition.clone(), format!("{}#{now:015}#{id}", dead.id))).await;
    scene.receiver.until_received("dead", 4).await;
    for item in ["mug", "tray", "bowl"] {
        let announced = Instant::now();
        let before = scene.receiver.received("beside").len();
        scene.stock(item, 3).await;
        scene.receiver.until_received("beside", before + 1).await;
        let took = announced.elapsed();
        println!("{item} was heard of after {took:?}");
        assert!(took < WITHIN, "{took:?}");
    }
    assert!(scene.deliveries(&dead).await.len() >= 1000, "they are all still to be made");
    worker.kill().await;
}

#[tokio::test]
async fn what_comes_due_behind_a_thousand_deliveries_to_a_dead_endpoint_is_made_all_the_same() {
    let scene = Scene::start().await;
    let (dead, beside) = dead_and_beside(&scene).await;
    scene.commit("tea", 3, clock::now()).await;
    let worker = scene.worker_with(patient).await;
    scene.receiver.until_received("dead", 1).await;
    scene.receiver.until_received("beside", 1).await;
    let now = clock::now().as_millisecond();
    let waiting = format!("DUE#{}#waiting", Slot::of_endpoint(&dead.id).number());
    let place = |endpoint: &Endpoint, at: i64, id: &str| (waiting.clone(), format!("!later#{at:015}#{}#{id}", endpoint.id));
    scene.pile_up(&beside, 1, |id| place(&beside, now, id)).await;
    scene.receiver.until_received("beside", 2).await;
    scene.pile_up(&dead, APART, |id| place(&dead, now, id)).await;
    scene.pile_up(&beside, 1, |id| place(&beside, now + 1, id)).await;
    scene.receiver.until_received("beside", 3).await;
    worker.kill().await;
}
