//! Much work at once: an endpoint that is dead takes nothing from the others, and one tenant nothing from another.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use tidemark_domain::TenantId;
use tidemark_domain::rule::Severity;
use tidemark_ingest::Settings;
use tidemark_runtime::clock;
use tidemark_store::{Endpoint, Slot, Tenant};
use tidemark_tests::deployment::{DEADLINE, tables};
use tidemark_tests::{Fault, Reaction, When, wait_until};
use tokio::time::{Duration, Instant};

use super::{Scene, new_endpoint, new_event};

const DELIVERIES: usize = 10_000;
/// Each is moved once.
const APART: usize = 1_000;
/// DynamoDB takes so many writes of a batch.
const BATCH: usize = 25;
const WITHIN: Duration = Duration::from_secs(2);
/// Endpoints of a tenant, each with so many deliveries.
const SLOW: usize = 40;
const BACKLOG: usize = 5;
/// What one tenant may have under way while it is alone: a quarter of 64 exchanges.
const EXCHANGES_ALONE: usize = 16;
/// Rules of a tenant that are written at once.
const RULES: usize = 300;

impl Scene {
    /// Another tenant has its turn: what is done from now on is done by it.
    fn act_as(&mut self, tenant: &str) {
        self.tenant = Tenant::named_by_operator(TenantId::new(tenant).unwrap());
    }

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

#[tokio::test]
async fn however_many_endpoints_of_a_tenant_answer_slowly_another_tenants_webhook_is_sent_at_once() {
    let mut scene = Scene::start().await;
    for _ in 0..SLOW {
        scene.endpoint("slow", None).await;
    }
    scene.receiver.react("slow", |_| Reaction::Slow(WITHIN * 4, 200));
    for item in 0..BACKLOG {
        scene.commit(&format!("item-{item}"), 3, clock::now()).await;
    }
    let worker = scene.worker_with(|settings| settings.webhooks.pace.timeouts.exchange = WITHIN * 8).await;
    scene.receiver.until_received("slow", EXCHANGES_ALONE).await;
    scene.act_as("rival");
    scene.endpoint("quick", None).await;
    for round in 1..=2 {
        let committed = Instant::now();
        scene.commit(&format!("item-{round}"), 3, clock::now()).await;
        scene.receiver.until_received("quick", round).await;
        let took = committed.elapsed();
        assert!(took < WITHIN, "{took:?}");
    }
    assert_eq!(scene.receiver.received("slow").len(), EXCHANGES_ALONE, "the others wait for these");
    worker.kill().await;
}

#[tokio::test]
async fn however_many_jobs_of_a_tenant_wait_another_tenants_is_done_by_the_next_look() {
    let mut scene = Scene::start().await;
    for number in 0..RULES {
        let item = format!("item-{number}");
        scene.commit_without_point(&item, 3).await;
        let rule = scene.rule(Some(&item), &[(Severity::Warning, "5")]);
        scene.store().create_rule(&scene.tenant, &rule, clock::now()).await.unwrap();
    }
    // Each of its jobs takes longer than anybody may wait.
    let is_its = |body: &serde_json::Value| body.to_string().contains("\"T#acme#");
    scene.deployment.world.front().fault("TransactWriteItems", When::Matching(Box::new(is_its)), Fault::Delay(WITHIN * 2));
    let worker = scene.worker_with(|settings| settings.webhooks.pace.claim = WITHIN * 8).await;
    wait_until("jobs to be under way", DEADLINE, async || scene.deployment.world.front().faults("TransactWriteItems") > 0).await;
    scene.act_as("rival");
    scene.commit_without_point("tea", 3).await;
    let rule = scene.rule(None, &[(Severity::Warning, "5")]);
    let written = Instant::now();
    scene.store().create_rule(&scene.tenant, &rule, clock::now()).await.unwrap();
    wait_until("its alert", DEADLINE, async || !scene.alerts().await.is_empty()).await;
    let took = written.elapsed();
    assert!(took < WITHIN, "{took:?}");
    worker.kill().await;
}
