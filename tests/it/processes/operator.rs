//! An operator's commands on a deployment: init, tenants, keys, status, quarantine and definitions.

use std::process::Stdio;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, StreamSpecification, StreamViewType,
};
use serde_json::json;
use tidemark_domain::TenantId;
use tidemark_store::{Holder, Tenant};
use tidemark_tests::client::key_signer;
use tidemark_tests::deployment::{DEADLINE, SECRET_KEY};
use tidemark_tests::{Deployment, Workload, oracle, wait_until};

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
    for state in ["created", "exists already"] {
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
    assert_eq!(tidemark(&deployment, &create).await.stdout, "tenant acme: exists already\n");
    assert_eq!(tidemark(&deployment, &[&create[..], &["--json"]].concat()).await.json(), json!({ "id": "acme" }));
    let ended = tidemark(&deployment, &["tenant", "create", "acme", "--time-zone", "Asia/Kathmandu"]).await;
    assert_eq!(ended.code, Some(1));
    let stands = "name `Acme`, time zone Europe/Berlin, EUR";
    assert_eq!(ended.told(), [format!("error: tenant acme exists already with other settings, which stand: {stands}")]);
    // What is left out is not asked for.
    for asked in [&["tenant", "create", "acme"][..], &["tenant", "create", "acme", "--currency", "EUR"]] {
        let ended = tidemark(&deployment, asked).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "tenant acme: exists already\n"), "{ended:?}");
    }
}

#[tokio::test]
async fn init_warns_of_source_tables_that_no_worker_will_read() {
    let world = tidemark_tests::World::start().await;
    create_table(&world, "Orders", "number").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("definitions.yaml");
    let init = async |definitions: &str| {
        std::fs::write(&file, definitions).unwrap();
        let arguments = ["init", "--with-sources", "--definitions", file.to_str().unwrap()];
        let ended = run("tidemark", &arguments, &world.variables()).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.told().into_iter().filter(|line| line.contains("`Orders`")).map(str::to_owned).collect::<Vec<_>>()
    };
    let off = "warning: the stream of table `Orders` is off; enable it with view type NEW_AND_OLD_IMAGES";
    assert_eq!(init(oracle::DEFINITIONS).await, [off]);
    assert_eq!(init(&oracle::DEFINITIONS.replace("    key: { partition: id }\n", "")).await, [off]);

    let stream = StreamSpecification::builder().stream_enabled(true).stream_view_type(StreamViewType::NewAndOldImages);
    let update = world.dynamodb().update_table().table_name("Orders").stream_specification(stream.build().unwrap());
    update.send().await.unwrap();
    let other = "warning: table `Orders`: its key is `number`, and the file says `id`; a table keeps its key, so mend the file";
    assert_eq!(init(oracle::DEFINITIONS).await, [other]);
}

/// Creates a table with this partition key and no stream.
async fn create_table(world: &tidemark_tests::World, table: &str, partition: &str) {
    let attribute = AttributeDefinition::builder().attribute_name(partition).attribute_type(ScalarAttributeType::S);
    let key = KeySchemaElement::builder().attribute_name(partition).key_type(KeyType::Hash).build().unwrap();
    let create = world.dynamodb().create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
    create.attribute_definitions(attribute.build().unwrap()).key_schema(key).send().await.unwrap();
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
async fn a_key_for_a_tenant_that_nobody_created_is_a_warning() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    deployment.create_tenant("acme", "UTC").await;
    let warned = async |tenant: &str| {
        let ended = tidemark(&deployment, &["key", "create", "--tenant", tenant, "--scopes", "metrics:read alerts:read"]).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.told().into_iter().filter(|line| line.starts_with("warning: ")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(warned("acme").await, [""; 0]);
    let [warning] = &warned("acne").await[..] else { panic!("one warning") };
    assert!(warning.contains("nobody has created the tenant acne"), "{warning}");
}

#[tokio::test]
async fn a_key_is_signed_by_the_deployments_key_and_a_note_says_if_it_is_not() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let plain = deployment.world.variables().to_vec();
    let with = |key: &str| [plain.clone(), vec![("TIDEMARK_SECRET_KEY", key.to_owned())]].concat();
    for (variables, is_signed) in [(plain.clone(), false), (with(""), false), (with(SECRET_KEY.1), true)] {
        let ended = run("tidemark", &["key", "create", "--operator", "--json"], &variables).await;
        let key = ended.json()["key"].as_str().unwrap().to_owned();
        assert_eq!(key_signer().read(&key).map(|key| key.is_signed()), Some(is_signed), "{ended:?}");
        let notes = ended.told().into_iter().filter(|line| line.starts_with("note: TIDEMARK_SECRET_KEY is not set")).count();
        assert_eq!(notes, usize::from(!is_signed), "{ended:?}");
    }
    let ended = run("tidemark", &["key", "create", "--operator"], &with("c2hvcnQ=")).await;
    assert!(ended.code == Some(2) && ended.stdout.is_empty() && !format!("{ended:?}").contains("c2hvcnQ"), "{ended:?}");
}

#[tokio::test]
async fn a_key_that_cannot_be_shown_is_taken_back() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    deployment.create_tenant("acme", "UTC").await;
    for arguments in [&["key", "create", "--tenant", "acme"][..], &["key", "create", "--tenant", "acme", "--json"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = tokio::process::Command::new(tidemark_tests::World::binary("tidemark"));
        command.args(arguments).env_clear().envs(deployment.world.variables_of(Workload::Operator));
        command.stdout(full).stderr(Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().await.unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        let end = " could not be shown, and was taken back: standard output: No space left on device (os error 28)\n";
        assert!(told.starts_with("error: the key ") && told.ends_with(end), "{told}");
    }
    let holder = Holder::Tenant(Tenant::named_by_operator(TenantId::new("acme").unwrap()));
    assert_eq!(deployment.store.keys(&holder, tidemark_runtime::clock::now()).await.unwrap(), []);
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
    assert_eq!(source["reasons"], json!([]));
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
async fn what_a_record_says_is_shown_and_never_obeyed() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let ingest = deployment.start_ingest().await;
    let mut bad = order("o1", "5");
    bad["order_date"] = json!({ "S": "\u{1b}[2J\nqua_forged\u{9b}1A\u{202e}" });
    deployment.put(oracle::TABLE, bad).await;
    let list = ["quarantine", "list", "--tenant", "demo"];
    let listed = async || tidemark(&deployment, &[&list[..], &["--json"]].concat()).await.json();
    wait_until("the record to be set aside", DEADLINE, async || listed().await["data"][0].is_object()).await;
    let id = listed().await["data"][0]["id"].as_str().unwrap().to_owned();
    for arguments in [&list[..], &["quarantine", "show", &id, "--tenant", "demo"]] {
        let shown = tidemark(&deployment, arguments).await.stdout;
        assert!(shown.contains(r"\u001b[2J\u000aqua_forged\u009b1A\u202e"), "{shown:?}");
        assert!(!shown.contains(|c: char| c != '\n' && (c.is_control() || c == '\u{202e}')), "{shown:?}");
        assert!(!shown.lines().any(|line| line.starts_with("qua_forged")), "{shown:?}");
    }
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
    // The next worker to start would begin anew what its file still has.
    let remove = ["definitions", "remove", "sales", "--definitions", file];
    let ended = tidemark(&deployment, &remove).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.told()[0].starts_with("error: the definition file still has metrics.sales: "), "{ended:?}");
    assert_eq!(show().await["metrics"]["sales"]["generation"], 2);
    let ended = tidemark(&deployment, &[&remove[..], &["--for-good"]].concat()).await;
    assert!(ended.code == Some(0) && ended.stdout.starts_with("metrics.sales has ended"), "{ended:?}");
    assert_eq!(show().await["metrics"], json!({}));
    // Where no file is known, none is asked.
    assert_eq!(tidemark(&deployment, &["definitions", "remove", "stock"]).await.code, Some(0));
    assert_eq!(show().await["inventories"], json!({}));
    ingest.stop().await;
}

fn order(id: &str, quantity: &str) -> serde_json::Value {
    let now = tidemark_runtime::clock::now().to_string();
    json!({ "id": {"S": id}, "order_date": {"S": now}, "quantity": {"N": quantity}, "unit_price": {"N": "2"} })
}
