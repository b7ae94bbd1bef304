//! An operator's commands on a deployment: init, tenants, keys, status, quarantine and definitions.

use serde_json::json;
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::{Deployment, oracle, wait_until};

use super::process::{Ended, run};

const UNITS: (&str, &str) = ("sales", "units");

async fn tidemark(deployment: &Deployment, arguments: &[&str]) -> Ended {
    run("tidemark", arguments, &deployment.world.variables()).await
}

#[tokio::test]
async fn init_is_idempotent_and_warns_of_what_the_endpoint_lacks() {
    let world = tidemark_tests::World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("definitions.yaml");
    std::fs::write(&file, oracle::DEFINITIONS).unwrap();
    let arguments = ["init", "--with-sources", "--definitions", file.to_str().unwrap()];
    for state in ["created", "is there already"] {
        let ended = run("tidemark", &arguments, &world.variables()).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let expected = ["tidemark", "tidemark-control", "Orders"].map(|table| format!("table {table}: {state}\n")).concat();
        assert_eq!(ended.stdout, expected);
        assert!(ended.told().iter().all(|line| line.starts_with("warning: ")), "{ended:?}");
    }
}

#[tokio::test]
async fn the_same_tenant_twice_is_fine_and_another_under_its_name_is_not() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let create = ["tenant", "create", "acme", "--name", "Acme", "--time-zone", "Europe/Berlin", "--currency", "EUR"];
    assert_eq!(tidemark(&deployment, &create).await.stdout, "tenant acme: created\n");
    assert_eq!(tidemark(&deployment, &create).await.stdout, "tenant acme: is there already\n");
    assert_eq!(tidemark(&deployment, &[&create[..], &["--json"]].concat()).await.json(), json!({ "id": "acme" }));
    let ended = tidemark(&deployment, &["tenant", "create", "acme", "--time-zone", "Asia/Kathmandu"]).await;
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.told(), ["error: tenant acme is there already with other settings, which stand"]);
}

#[tokio::test]
async fn a_key_is_alone_on_standard_output() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let ended = tidemark(&deployment, &["key", "create", "--tenant", "acme", "--scopes", "metrics:read,keys:write"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let key = ended.stdout.strip_suffix('\n').unwrap();
    assert!(key.starts_with("tdm_") && !key.contains(char::is_whitespace), "{key}");
    let operator = tidemark(&deployment, &["key", "create", "--operator", "--json"]).await.json();
    let key = operator["key"].as_str().unwrap();
    assert!(key.starts_with("tdm_") && key.contains(operator["id"].as_str().unwrap()), "{operator}");
}

#[tokio::test]
async fn status_tells_what_was_never_read_from_what_is() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let ended = tidemark(&deployment, &["status"]).await;
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.told(), ["error: nothing runs yet: start tidemark-ingest with a definition file first"]);

    let ingest = deployment.start_ingest().await;
    deployment.put(oracle::TABLE, order("o1", "5")).await;
    deployment.settled("orders").await;
    let status = tidemark(&deployment, &["status", "--json"]).await.json();
    let source = &status["sources"][0];
    assert_eq!((&source["source"], &source["table"]), (&json!("orders"), &json!("Orders")));
    assert_eq!((&source["exact"], &source["gaps"], &source["quarantined"]), (&json!(true), &json!([]), &json!(0)));
    assert!(source["lag_ms"].as_i64().unwrap() < 60_000, "{source}");
    let owners: Vec<_> = source["shards"].as_array().unwrap().iter().filter_map(|shard| shard["owner"].as_str()).collect();
    assert!(!owners.is_empty() && owners.iter().all(|owner| owner.starts_with("test.")), "{source}");
    let told = tidemark(&deployment, &["status"]).await.stdout;
    assert!(told.starts_with("source orders (table Orders)\n  watermark    "), "{told}");
    ingest.stop().await;
}

#[tokio::test]
async fn quarantined_records_are_listed_and_shown_with_their_images() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let ingest = deployment.start_ingest().await;
    deployment.put(oracle::TABLE, order("o1", "5")).await;
    let mut bad = order("o1", "5");
    bad["quantity"] = json!({ "S": "five" });
    deployment.put(oracle::TABLE, bad).await;
    let list = ["quarantine", "list", "--tenant", "demo"];
    wait_until("the record to be set aside", DEADLINE, async || {
        tidemark(&deployment, &[&list[..], &["--json"]].concat()).await.json()["data"][0].is_object()
    })
    .await;
    let listed = tidemark(&deployment, &[&list[..], &["--json"]].concat()).await.json();
    assert_eq!(listed["more"], false);
    let id = listed["data"][0]["id"].as_str().unwrap();
    assert!(tidemark(&deployment, &list).await.stdout.contains(id));

    let show = ["quarantine", "show", id, "--tenant", "demo"];
    let shown = tidemark(&deployment, &[&show[..], &["--json"]].concat()).await.json();
    assert_eq!(shown["code"], "measure");
    assert_eq!(shown["old"]["json"]["quantity"], json!({ "N": "5" }));
    assert_eq!(shown["new"]["json"]["quantity"], json!({ "S": "five" }));
    assert!(tidemark(&deployment, &show).await.stdout.contains("`quantity` is of type S"));

    // Whose it is belongs to the question.
    let ended = tidemark(&deployment, &["quarantine", "show", id, "--tenant", "acme"]).await;
    assert_eq!((ended.code, ended.told().len()), (Some(1), 1), "{ended:?}");
    assert_eq!(
        tidemark(&deployment, &["quarantine", "list", "--source", "orders"]).await.stdout,
        "nothing is quarantined here\n"
    );
    ingest.stop().await;
}

#[tokio::test]
async fn whose_records_are_quarantined_is_told_without_naming_anybody() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let ingest = deployment.start_ingest().await;
    let list = ["quarantine", "list"];
    let untouched = tidemark(&deployment, &list).await;
    assert_eq!((untouched.code, untouched.stdout.as_str()), (Some(0), "nothing was ever quarantined\n"));
    for (id, tenant) in [("a1", "acme"), ("r1", "rival"), ("a2", "acme"), ("n1", "not a name")] {
        let mut bad = order(id, "5");
        (bad["tenant_id"], bad["quantity"]) = (json!({ "S": tenant }), json!({ "S": "five" }));
        deployment.put(oracle::TABLE, bad).await;
    }
    let status = async || tidemark(&deployment, &["status", "--json"]).await.json()["sources"][0].clone();
    wait_until("the records to be set aside", DEADLINE, async || status().await["quarantined"] == 4).await;
    let source = status().await;
    assert_eq!(source["quarantined_tenants"], json!({ "count": 2, "more": false }));
    assert_eq!(source["quarantined_without_tenant"], 1);
    let told = tidemark(&deployment, &["status"]).await.stdout;
    let line = "\n  quarantined  4 (of 2 tenants; 1 whose tenant cannot be read): see `tidemark quarantine list`\n";
    assert!(told.contains(line), "{told}");

    let mut listed = tidemark(&deployment, &[&list[..], &["--json"]].concat()).await.json();
    let last: jiff::Timestamp = listed["data"][0]["last_at"].as_str().unwrap().parse().unwrap();
    assert!(tidemark_runtime::clock::now().duration_since(last).abs() < jiff::SignedDuration::from_hours(1), "{listed}");
    for share in listed["data"].as_array_mut().unwrap() {
        share.as_object_mut().unwrap().remove("last_at");
    }
    let share = |tenant, records| json!({ "source": "orders", "tenant": tenant, "records": records });
    let of_nobody = share(json!(null), 1);
    assert_eq!(listed, json!({ "data": [share(json!("acme"), 2), share(json!("rival"), 1), of_nobody], "more": false }));

    let told = tidemark(&deployment, &[&list[..], &["--limit", "1"]].concat()).await.stdout;
    let starts: Vec<&str> = told.lines().map(|line| line.split_once("  ").map_or(line, |(start, _)| start)).collect();
    let hints = [
        "… and more: raise --limit",
        "`tidemark quarantine list --tenant acme` lists a tenant's records of the last 30 days",
        "`tidemark quarantine list --source orders` lists those of a source whose tenant cannot be read",
    ];
    assert_eq!(starts, [&["source", "orders", "orders"][..], &hints].concat(), "{told}");
    ingest.stop().await;
}

#[tokio::test]
async fn definitions_are_shown_accepted_and_removed() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let ingest = deployment.start_ingest().await;
    deployment.put(oracle::TABLE, order("o1", "5")).await;
    deployment.expect_total("demo", UNITS, None, "5").await;
    let show = async || tidemark(&deployment, &["definitions", "show", "--json"]).await.json();
    assert_eq!(show().await["metrics"]["sales"]["generation"], 1);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("changed.yaml");
    std::fs::write(&file, oracle::DEFINITIONS.replace("units: { sum: quantity }", "units: { sum: pieces }")).unwrap();
    let file = file.to_str().unwrap();
    let accept = ["definitions", "accept", "sales", "--from-now", "--definitions", file];
    let ended = tidemark(&deployment, &accept).await;
    assert_eq!(ended.stdout, "metric sales counts anew from now on, as generation 2\n", "{ended:?}");
    assert_eq!(show().await["metrics"]["sales"]["generation"], 2);

    let ended = tidemark(&deployment, &["definitions", "remove", "nothing"]).await;
    assert_eq!((ended.code, ended.told().len()), (Some(2), 1), "{ended:?}");
    assert_eq!(tidemark(&deployment, &["definitions", "remove", "sales"]).await.code, Some(0));
    assert_eq!(show().await["metrics"], json!({}));
    ingest.stop().await;
}

fn order(id: &str, quantity: &str) -> serde_json::Value {
    let now = tidemark_runtime::clock::now().to_string();
    json!({ "id": {"S": id}, "order_date": {"S": now}, "quantity": {"N": quantity}, "unit_price": {"N": "2"} })
}
