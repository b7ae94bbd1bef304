//! What the API takes of memory for the largest questions that it answers, all at once, and for answers that no client reads.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use jiff::ToSpan;
use jiff::civil::Date;
use tidemark_domain::Zone;
use tidemark_runtime::clock;
use tidemark_tests::deployment::tables;
use tidemark_tests::unread::Unread;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::scene::Scene;
use super::{ALONE, setting};

/// What the chart gives the API is 256 MiB.
const RESIDENT_MAX: usize = 200 << 20;
/// Values of `item` that each tenant has on one day, unless a variable says otherwise. A release build was tried with 100,000.
const ROWS: u64 = 8_000;
/// Bytes of each value, of the 1,024 that a sort key may have.
const NAME_BYTES: usize = 900;
/// Values on the day that unread answers are about: 400 kB each. It is in another month, and so in another partition.
const UNREAD_ROWS: usize = 400;
const TENANTS: usize = 3;
const QUESTIONS: usize = 6;
const UNREAD: usize = 250;
/// Requests on one HTTP/2 connection.
const STREAMS: usize = 50;
/// Most items of one BatchWriteItem.
const BATCH_MAX: usize = 25;
const SAMPLE_EVERY: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_questions_and_unread_answers_fit_into_the_memory_of_a_pod() {
    let _alone = ALONE.lock().await;
    let rows = usize::try_from(setting("TIDEMARK_NEIGHBOURS_ROWS").unwrap_or(ROWS)).expect("a small number");
    let scene = Scene::start_with(&[]).await;
    let day = Zone::utc().date_of(clock::now()) - 1.day();
    let mut keys = Vec::new();
    for tenant in 0..TENANTS {
        let tenant = format!("m{tenant}");
        store_rows(&scene, &tenant, day, rows).await;
        store_rows(&scene, &tenant, day - 40.days(), UNREAD_ROWS).await;
        keys.push(scene.key(&tenant).await);
    }
    let mut lines = vec![format!("{} MiB at rest", scene.api_bytes().await >> 20)];
    let path = |day: Date, limit: usize| {
        let until = day.tomorrow().expect("a day");
        format!("/v1/metrics/sales/values?from={day}&to={until}&group_by=item&order=-units&limit={limit}")
    };
    let stop = CancellationToken::new();
    let asking = async {
        let mut questions = JoinSet::new();
        for number in 0..QUESTIONS {
            let client = tidemark_tests::Client::at(scene.url(), keys[number % TENANTS].clone());
            let path = path(day, 1000 - number);
            questions.spawn(async move { client.get(&path).await.status });
        }
        let answered = counted(questions.join_all().await.into_iter().map(Some));
        let mut kept = Vec::new();
        let mut unread = Vec::new();
        for connection in 0..UNREAD / STREAMS {
            let mut client = Unread::connect(scene.url()).await;
            let paths = (0..STREAMS).map(|number| path(day - 40.days(), 1000 - connection * STREAMS - number));
            unread.extend(client.ask(paths, &keys[connection % TENANTS]).await);
            kept.push(client);
        }
        stop.cancel();

        (answered, counted(unread))
    };
    let ((answered, unread), most) = tokio::join!(asking, most_bytes(&scene, &stop));
    lines.push(format!("{QUESTIONS} questions over {rows} rows each, by status: {answered:?}"));
    lines.push(format!("{UNREAD} unread answers, by status: {unread:?}; {} MiB at most", most >> 20));
    std::io::stderr().write_all((lines.join("\n") + "\n").as_bytes()).expect("it is open");
    assert!(
        answered.get(&Some(200)).is_some_and(|count| *count >= 1),
        "nothing proves anything unless it is answered: {answered:?}"
    );
    assert!(unread.get(&Some(200)).is_some_and(|count| *count >= TENANTS), "{unread:?}");
    assert!(
        answered.keys().chain(unread.keys()).all(|status| matches!(status, Some(200 | 429 | 503))),
        "{answered:?} {unread:?}"
    );
    assert!(most <= RESIDENT_MAX, "{most} bytes");
}

fn counted(statuses: impl IntoIterator<Item = Option<u16>>) -> BTreeMap<Option<u16>, usize> {
    let mut counts = BTreeMap::new();
    for status in statuses {
        *counts.entry(status).or_default() += 1;
    }
    counts
}

/// The most that the API had in memory at any look, until stopped.
async fn most_bytes(scene: &Scene, stop: &CancellationToken) -> usize {
    let mut most = 0;
    while !stop.is_cancelled() {
        most = most.max(scene.api_bytes().await);
        sleep(SAMPLE_EVERY).await;
    }
    most.max(scene.api_bytes().await)
}

/// Rows of so many items of one day, as a worker stores them.
async fn store_rows(scene: &Scene, tenant: &str, day: Date, rows: usize) {
    let count = |number: usize| AttributeValue::N(number.to_string());
    let row = |number: usize| {
        let put = PutRequest::builder()
            .item("pk", AttributeValue::S(format!("T#{tenant}#M#sales.item#g1#d{}#L0", day.strftime("%Y%m"))))
            .item("sk", AttributeValue::S(format!("{number:0NAME_BYTES$}##{}", day.strftime("%Y%m%d"))))
            .item("m_units", count(number))
            .item("m_orders", count(1));
        WriteRequest::builder().put_request(put.build().expect("it has an item")).build()
    };
    for first in (0..rows).step_by(BATCH_MAX) {
        let batch = (first..rows.min(first + BATCH_MAX)).map(row).collect();
        let written = scene.deployment.world.dynamodb().batch_write_item().request_items(tables().data, batch).send().await;
        written.expect("the embedded DynamoDB takes them all");
    }
}
