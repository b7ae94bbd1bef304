//! STREAMS §2: a worker that cannot commit stops reading at the memory it may take, as the system sees it.

use std::time::Duration;

use serde_json::json;
use tidemark_runtime::clock;
use tidemark_tests::deployment::{DEADLINE, SECRET_KEY};
use tidemark_tests::{Deployment, Fault, When, wait_until};
use tokio::time::Instant;

use super::process::Process;

const TABLE: &str = "Orders";
const DEFINITIONS: &str = "
sources: { orders: { table: Orders, key: { partition: id }, tenant: { constant: demo } } }
metrics: { sales: { source: orders, time: order_date, measures: { units: { sum: quantity } }, group_by: [[]] } }
";
const SHARDS: usize = 12;
/// Nearly twice what the worker's budget holds of them: 256 MiB, in which a record is taken to be there twice, so 128 MiB of these,
/// which are hardly larger than their text.
const RECORDS: usize = 960;
const RECORD_BYTES: usize = 250_000;
/// Those 128 MiB, and what a worker takes besides: itself, and the pages that are just being taken apart.
const RESIDENT_MAX: usize = (128 + 96) << 20;
/// Reading stands still when nobody has asked for records for so long: an idle shard is asked twice a second.
const STILL: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_worker_whose_target_stands_still_takes_no_more_memory_than_it_may_and_loses_nothing() {
    let deployment = Deployment::start_with_shards(DEFINITIONS, SHARDS).await;
    let note = "x".repeat(RECORD_BYTES);
    for number in 0..RECORDS {
        let order = json!({
            "id": {"S": format!("order-{number}")}, "order_date": {"S": clock::now().to_string()}, "quantity": {"N": "1"},
            "note": {"S": note},
        });
        deployment.put(TABLE, order).await;
    }
    let front = deployment.world.front();
    front.fault("TransactWriteItems", When::Matching(Box::new(|_| true)), Fault::Throttle);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("definitions.yaml");
    std::fs::write(&file, DEFINITIONS).unwrap();
    let mut variables = deployment.world.variables().to_vec();
    variables.push(("TIDEMARK_DEFINITIONS", file.to_str().unwrap().to_owned()));
    variables.push(("TIDEMARK_ADMIN_ADDR", "127.0.0.1:0".to_owned()));
    variables.push((SECRET_KEY.0, SECRET_KEY.1.to_owned()));
    let worker = Process::spawn("tidemark-ingest", &[], &variables);

    let (mut asked, mut since, mut resident) = (0, Instant::now(), 0);
    wait_until("reading to stand still", DEADLINE, async || {
        resident = resident.max(worker.resident_bytes().await);
        let asked_before = std::mem::replace(&mut asked, front.calls("GetRecords"));
        if asked != asked_before {
            since = Instant::now();
        }
        asked > 0 && since.elapsed() >= STILL
    })
    .await;
    println!("{} MiB resident at most, after {asked} reads", resident >> 20);
    assert!(resident <= RESIDENT_MAX, "{resident} bytes");
    assert!(resident > 128 << 20, "{resident} bytes: it has not read enough to prove anything");

    front.no_faults();
    deployment.expect_total("demo", ("sales", "units"), None, &RECORDS.to_string()).await;
    deployment.settled("orders").await;
    assert_eq!(deployment.total("demo", ("sales", "units"), None).await, RECORDS.to_string());
    worker.signal("-TERM").await;
    assert_eq!(worker.ended(DEADLINE).await.code, Some(0));
}
