//! Tenants before their first record, what is answered when their zone is asked for too late, and what an operator does when days moved.

use jiff::{Timestamp, ToSpan};
use reqwest::Method;
use serde_json::{Value, json};
use tidemark_domain::Zone;
use tidemark_runtime::clock;
use tidemark_store::{Holder, NewKey, Scope};
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::{Client, Deployment, RunningApi, wait_until};

use super::process::{Ended, Process, ask, run};

const PAYMENTS: &str = "\
sources:
  o: { table: Payments, key: { partition: id }, tenant: { attribute: account, default: main } }
metrics:
  o: { source: o, time: at, measures: { n: { count: true } }, group_by: [[]] }
";
const N: (&str, &str) = ("o", "n");

async fn tidemark(deployment: &Deployment, arguments: &[&str]) -> Ended {
    run("tidemark", arguments, &deployment.world.variables()).await
}

async fn pay(deployment: &Deployment, id: &str, at: &str) {
    deployment.put("Payments", json!({ "id": {"S": id}, "at": {"S": at} })).await;
}

async fn operator(deployment: &Deployment, api: &RunningApi) -> Client {
    let new = NewKey { holder: Holder::Operator, scopes: [Scope::Operator].into(), name: None, expires_at: None };
    api.client(deployment.issue(&new).await)
}

async fn totals(client: &Client, query: &str) -> Value {
    client.get(&format!("/v1/metrics/o/values?{query}")).await.json()
}

#[tokio::test]
async fn a_tenant_that_init_created_counts_its_first_record_by_its_own_days() {
    let deployment = Deployment::start(PAYMENTS).await;
    let init = ["init", "--tenant", "main=Europe/Berlin", "--tenant", "other=Asia/Tokyo"];
    for state in ["created", "exists already"] {
        let ended = tidemark(&deployment, &init).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let tenants: Vec<&str> = ended.stdout.lines().filter(|line| line.starts_with("tenant ")).collect();
        assert_eq!(tenants, [format!("tenant main: {state}"), format!("tenant other: {state}")]);
    }
    let stands = "other settings, which stand: no name, time zone Europe/Berlin, no currency";
    for arguments in [&["init", "--tenant", "main=UTC"][..], &["tenant", "create", "main", "--time-zone", "UTC"]] {
        let ended = tidemark(&deployment, arguments).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.told().last().is_some_and(|told| told.ends_with(stands)), "{ended:?}");
    }

    let ingest = deployment.start_ingest().await;
    for id in ["1", "2"] {
        // Half past midnight in Berlin.
        pay(&deployment, id, "2026-05-01T22:30:00Z").await;
    }
    let api = deployment.start_api().await;
    let main = api.client(deployment.key_of("main").await);
    let path = "/v1/metrics/o/values?from=2026-05-02&to=2026-05-03";
    let counted = |answer: &Value| answer["totals"][0]["values"]["n"] == "2";
    main.until("both records to count", path, counted).await;
    assert_eq!(main.get(path).await.json()["time_zone"], "Europe/Berlin");
    assert_eq!(totals(&main, "from=2026-05-01&to=2026-05-02").await["totals"], json!([]));
    assert_eq!(main.get("/v1/quarantine").await.json()["data"], json!([]));
    api.stop().await;
    ingest.stop().await;
}

/// Everything that the refusals name is done here.
#[tokio::test]
async fn a_zone_that_is_asked_for_after_the_first_record_is_refused_with_what_works() {
    let deployment = Deployment::start(PAYMENTS).await;
    let ingest = deployment.start_ingest().await;
    let day = Zone::utc().date_of(clock::now()) - 3.days();
    // In the first hours of the next day in Berlin.
    let at = format!("{day}T23:30:00Z");
    pay(&deployment, "1", &at).await;
    deployment.expect_total("main", N, None, "1").await;

    let frozen = "error: tenant main is counted in UTC already, and its time zone cannot be changed any more: days of Europe/Berlin \
                  can be asked for with the parameter time_zone=Europe/Berlin as far back as 15-minute rows are kept (400 days); to \
                  have day rows of Europe/Berlin, create a tenant of another id and let the records name it";
    for arguments in
        [&["init", "--tenant", "main=Europe/Berlin"][..], &["tenant", "create", "main", "--time-zone", "Europe/Berlin"]]
    {
        let ended = tidemark(&deployment, arguments).await;
        assert_eq!((ended.code, ended.told().last().copied()), (Some(1), Some(frozen)), "{ended:?}");
    }
    let api = deployment.start_api().await;
    let operator = operator(&deployment, &api).await;
    let refused = operator.post("/v1/admin/tenants", &json!({ "id": "main", "time_zone": "Europe/Berlin" })).await;
    operator.post("/v1/admin/tenants", &json!({ "id": "main" })).await.json_of(201);
    let patched = operator.patch("/v1/admin/tenants/main", &json!({ "time_zone": "Europe/Berlin" })).await;
    for refused in [refused, patched] {
        let problem = refused.problem();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(409), &json!("time_zone_frozen")));
        let detail = problem["detail"].as_str().unwrap();
        for part in ["by days of UTC already", "`time_zone`", "(400 days)", "a tenant of another id"] {
            assert!(detail.contains(part), "no `{part}`: {detail}");
        }
    }
    // To delete it is no way, and is not named as one.
    let deleted = operator.send(Method::DELETE, "/v1/admin/tenants/main", &[]).await;
    assert_eq!(deleted.problem()["code"], "tenant_has_data");

    let main = api.client(deployment.key_of("main").await);
    let (next, last) = (day.tomorrow().unwrap(), day.tomorrow().unwrap().tomorrow().unwrap());
    assert_eq!(totals(&main, &format!("from={next}&to={last}")).await["totals"], json!([]));
    let in_berlin = totals(&main, &format!("from={next}&to={last}&granularity=P1D&time_zone=Europe/Berlin")).await;
    assert_eq!((&in_berlin["time_zone"], &in_berlin["totals"][0]["values"]["n"]), (&json!("Europe/Berlin"), &json!("1")));

    tidemark(&deployment, &["tenant", "create", "shop", "--time-zone", "Europe/Berlin"]).await;
    deployment.put("Payments", json!({ "id": {"S": "2"}, "at": {"S": at}, "account": {"S": "shop"} })).await;
    let shop = api.client(deployment.key_of("shop").await);
    let counted = |answer: &Value| answer["totals"][0]["values"]["n"] == "1" && answer["time_zone"] == "Europe/Berlin";
    shop.until("it to count by its own days", &format!("/v1/metrics/o/values?from={next}&to={last}"), counted).await;
    api.stop().await;
    ingest.stop().await;
}

#[tokio::test]
async fn dev_creates_tenants_with_their_zones_and_gives_each_a_key() {
    let arguments = ["dev", "--json", "--no-sample-data", "--port", "0", "--dynamodb-port", "0", "--tenant", "shop=Asia/Tokyo"];
    let mut process = Process::spawn::<&str>("tidemark", &arguments, &[]);
    let dev: Value = serde_json::from_str(&process.first_line().await).unwrap();
    let key = dev["keys"]["shop"].as_str().expect("a key");
    let tenant = ask(&format!("{}/v1/tenant", dev["api_url"].as_str().unwrap()), key).await;
    assert_eq!((&tenant["id"], &tenant["time_zone"]), (&json!("shop"), &json!("Asia/Tokyo")));
    process.signal("-INT").await;
    assert_eq!(process.ended(DEADLINE).await.code, Some(0));
}

#[tokio::test]
async fn an_operator_sees_that_days_moved_and_starts_the_metric_again_once() {
    let deployment = Deployment::start(PAYMENTS).await;
    deployment.create_tenant("main", "Europe/Berlin").await;
    let ingest = deployment.start_ingest().await;
    pay(&deployment, "1", &clock::now().to_string()).await;
    deployment.expect_total("main", N, None, "1").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("payments.yaml");
    std::fs::write(&file, PAYMENTS).unwrap();
    let accept = ["definitions", "accept", "o", "--from-now", "--definitions", file.to_str().unwrap()];
    let refused = tidemark(&deployment, &accept).await;
    assert_eq!(refused.told(), ["error: the metric `o` runs exactly as the file says; there is nothing to accept"]);

    let moved_at = clock::now();
    let item = json!({
        "pk": {"S": "ZONES"}, "sk": {"S": "Europe/Berlin"}, "tzdb": {"S": "2999z"}, "offsets": {"S": "946684800:0"},
        "until": {"N": "4102444800"}, "moved_at": {"S": moved_at.to_string()},
    });
    deployment.put("tidemark", item).await;
    let reasons = async || tidemark(&deployment, &["status", "--json"]).await.json()["sources"][0]["reasons"].clone();
    let has = |reasons: &Value, reason: &str| reasons.as_array().unwrap().contains(&json!(reason));
    assert!(has(&reasons().await, "zones"));
    let told = tidemark(&deployment, &["status"]).await.stdout;
    assert!(told.contains(&format!("  days moved   Europe/Berlin, by a newer time-zone database, {moved_at}: ")), "{told}");

    assert_eq!(tidemark(&deployment, &accept).await.stdout, "metric o counts anew from now on, as generation 2\n");
    assert!(tidemark(&deployment, &accept).await.code == Some(2), "nothing has moved since");
    let reasons = reasons().await;
    assert!(!has(&reasons, "zones") && has(&reasons, "definitions"), "{reasons}");
    let begun: Timestamp = deployment.store.running().await.unwrap().unwrap().metrics.values().next().unwrap().since.unwrap();
    assert!(begun > moved_at);
    let mut number = 1;
    // The worker learns of it in its own time.
    wait_until("a record to count in the new generation", DEADLINE, async || {
        number += 1;
        pay(&deployment, &number.to_string(), &clock::now().to_string()).await;
        deployment.total("main", N, None).await != "0"
    })
    .await;
    ingest.stop().await;
}
