//! What keeps a process from starting is one clear line that says what to do, with the right exit code.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, StreamSpecification, StreamViewType,
};
use tidemark_tests::{Fault, When, World};

use super::process::{Ended, Process, run, shipped};

const TABLE: &str = "Order_by_item";
const WORKLOADS: [&str; 2] = ["tidemark-ingest", "tidemark-api"];
/// 32 bytes of nothing in particular, base64.
const SECRET_KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

/// A source that an inventory could not tell the rows of apart, and one whose table is not there.
const TWO_UNFIT: &str = "
sources:
  a: { table: Order_by_item, tenant: { constant: demo } }
  b: { table: Lost, tenant: { constant: demo } }
metrics:
  m: { source: a, time: t, measures: { c: { count: true } }, group_by: [[]] }
inventory:
  i: { source: a, item: orderid, on_hand: h }
";

type Variables = Vec<(&'static str, String)>;

/// Everything that both workloads need.
fn complete(world: &World) -> Variables {
    let mut variables = world.variables().to_vec();
    variables.extend([
        ("TIDEMARK_DEFINITIONS", shipped("orders-by-item.yaml")),
        ("TIDEMARK_SECRET_KEY", SECRET_KEY.to_owned()),
        ("TIDEMARK_API_ADDR", "127.0.0.1:0".to_owned()),
        ("TIDEMARK_ADMIN_ADDR", "127.0.0.1:0".to_owned()),
    ]);
    variables
}

fn changed(mut variables: Variables, name: &'static str, value: &str) -> Variables {
    variables.retain(|(known, _)| *known != name);
    variables.push((name, value.to_owned()));
    variables
}

fn without(mut variables: Variables, names: &[&str]) -> Variables {
    variables.retain(|(name, _)| !names.contains(name));
    variables
}

/// One line, which begins like this, and this exit code.
fn assert_told(ended: &Ended, code: i32, beginning: &str) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    let [line] = ended.told()[..] else { panic!("one line: {ended:?}") };
    assert!(line.starts_with(&format!("error: {beginning}")), "{line}");
}

/// Creates a source table with a stream of some view type, or with none.
async fn create_source(world: &World, view: Option<StreamViewType>) {
    let mut create = world.dynamodb().create_table().table_name(TABLE).billing_mode(BillingMode::PayPerRequest);
    for (name, kind) in [("orderid", KeyType::Hash), ("order_date", KeyType::Range)] {
        let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
        create = create.attribute_definitions(attribute.build().unwrap());
        create = create.key_schema(KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap());
    }
    if let Some(view) = view {
        let stream = StreamSpecification::builder().stream_enabled(true).stream_view_type(view).build().unwrap();
        create = create.stream_specification(stream);
    }
    create.send().await.unwrap();
}

#[tokio::test]
async fn missing_tables_are_named_with_the_command_that_makes_them() {
    let world = World::start().await;
    let variables = complete(&world);
    for workload in WORKLOADS {
        let ended = run(workload, &[], &variables).await;
        assert_told(&ended, 1, "the table `tidemark` does not exist: create it with `tidemark init`");
    }
    assert_eq!(run("tidemark", &["init"], &variables).await.code, Some(0));
    let ended = run("tidemark-ingest", &[], &variables).await;
    assert_told(&ended, 1, "source orders: table `Order_by_item` does not exist; `tidemark init --with-sources`");
    assert_eq!(run("tidemark", &["init", "--with-sources"], &variables).await.code, Some(0));
}

#[tokio::test]
async fn a_machine_without_certificate_authorities_is_told() {
    let world = World::start().await;
    let variables = changed(complete(&world), "SSL_CERT_FILE", "/nowhere");
    for workload in WORKLOADS {
        assert_told(
            &run(workload, &[], &variables).await,
            2,
            "no certificate authorities are found here: install ca-certificates",
        );
    }
}

#[tokio::test]
async fn a_stream_that_is_off_is_told() {
    let world = World::start().await;
    create_source(&world, None).await;
    assert_eq!(run("tidemark", &["init"], &complete(&world)).await.code, Some(0));
    let ended = run("tidemark-ingest", &[], &complete(&world)).await;
    assert_told(&ended, 1, "source orders: the stream of table `Order_by_item` is off; enable it");
}

#[tokio::test]
async fn all_sources_that_cannot_be_read_are_told_together() {
    let world = World::start().await;
    create_source(&world, Some(StreamViewType::NewAndOldImages)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.yaml");
    std::fs::write(&file, TWO_UNFIT).unwrap();
    let variables = changed(complete(&world), "TIDEMARK_DEFINITIONS", file.to_str().unwrap());
    assert_eq!(run("tidemark", &["init"], &variables).await.code, Some(0));
    let ended = run("tidemark-ingest", &[], &variables).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let expected = [
        "error: source a: inventory `i` does not use the key attribute `order_date` of table Order_by_item: two rows could \
         be one level",
        "source b: table `Lost` does not exist; `tidemark init --with-sources` creates it where the source has a `key`",
    ];
    assert_eq!(ended.told(), expected);
}

#[tokio::test]
async fn a_stream_of_another_view_type_is_told() {
    let world = World::start().await;
    create_source(&world, Some(StreamViewType::KeysOnly)).await;
    assert_eq!(run("tidemark", &["init"], &complete(&world)).await.code, Some(0));
    let ended = run("tidemark-ingest", &[], &complete(&world)).await;
    assert_told(&ended, 1, "source orders: the stream of table `Order_by_item` has view type KEYS_ONLY, but NEW_AND_OLD_IMAGES");
}

#[tokio::test]
async fn missing_credentials_are_one_line_although_the_sdk_has_many() {
    let world = World::start().await;
    let variables = without(complete(&world), &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
    for (name, arguments) in
        [("tidemark-ingest", &[][..]), ("tidemark-api", &[]), ("tidemark", &["init"]), ("tidemark", &["status"])]
    {
        let ended = run(name, arguments, &variables).await;
        assert_told(&ended, 1, "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role");
    }
}

#[tokio::test]
async fn no_single_refusal_ends_a_start() {
    for fault in [Fault::Throttle, Fault::Reset, Fault::CommitThenDrop, Fault::TransactionConflict] {
        let world = World::start().await;
        assert_eq!(run("tidemark", &["init", "--with-sources"], &complete(&world)).await.code, Some(0));
        let is_read = |call: &&str| call.starts_with("Describe") || *call == "GetItem";
        for call in ["DescribeTable", "DescribeStream", "GetItem", "PutItem", "UpdateItem"] {
            // A read meets no transaction.
            if fault != Fault::TransactionConflict || !is_read(&call) {
                world.front().fault(call, When::Next(1), fault);
            }
        }
        let mut process = Process::spawn("tidemark-ingest", &[], &complete(&world));
        let log = process.until_logged("worker started").await;
        assert!(log["worker"].is_string(), "{log}");
    }
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_told() {
    let world = World::start().await;
    let variables = changed(complete(&world), "AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    for (name, arguments) in [("tidemark-ingest", &[][..]), ("tidemark-api", &[]), ("tidemark", &["init"])] {
        let ended = run(name, arguments, &variables).await;
        assert_told(&ended, 1, "DynamoDB cannot be reached: check AWS_ENDPOINT_URL, AWS_REGION and the network");
    }
}

#[tokio::test]
async fn a_port_in_use_names_the_variable() {
    let world = World::start().await;
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for (workload, variable) in [
        ("tidemark-ingest", "TIDEMARK_ADMIN_ADDR"),
        ("tidemark-api", "TIDEMARK_ADMIN_ADDR"),
        ("tidemark-api", "TIDEMARK_API_ADDR"),
    ] {
        let ended = run(workload, &[], &changed(complete(&world), variable, &addr)).await;
        let told = format!("cannot listen on {addr}: address in use; stop the other process or set {variable}");
        assert_told(&ended, 1, &told);
    }
}

#[tokio::test]
async fn an_unset_region_is_wrong_use() {
    let world = World::start().await;
    let variables = without(complete(&world), &["AWS_REGION"]);
    for (name, arguments) in [("tidemark-ingest", &[][..]), ("tidemark-api", &[]), ("tidemark", &["init"])] {
        assert_told(&run(name, arguments, &variables).await, 2, "AWS_REGION: not set");
    }
}

#[tokio::test]
async fn names_and_addresses_that_lead_nowhere_are_wrong_use() {
    let world = World::start().await;
    for (variable, value, told) in [
        ("TIDEMARK_TABLE", "a b c", "TIDEMARK_TABLE: `a b c` is not allowed: a table's name is 3 to 255 of"),
        ("TIDEMARK_TABLE", "tidemark-control", "TIDEMARK_CONTROL_TABLE: `tidemark-control` is TIDEMARK_TABLE as well"),
        ("AWS_REGION", "", "AWS_REGION, or the region of the profile: `` is no region's name"),
        ("AWS_REGION", "no such region", "AWS_REGION, or the region of the profile: `no such region` is no region's name"),
        ("AWS_ENDPOINT_URL", "", "AWS_ENDPOINT_URL: `` is no address"),
        ("AWS_ENDPOINT_URL", "localhost:8000", "AWS_ENDPOINT_URL: `localhost:8000` is no address"),
        ("AWS_ENDPOINT_URL_DYNAMODB", "nonsense", "AWS_ENDPOINT_URL_DYNAMODB: `nonsense` is no address"),
    ] {
        let variables = changed(complete(&world), variable, value);
        for (name, arguments) in [("tidemark-ingest", &[][..]), ("tidemark-api", &[]), ("tidemark", &["status"])] {
            assert_told(&run(name, arguments, &variables).await, 2, told);
        }
    }
}

#[tokio::test]
async fn a_definition_file_that_is_missing_or_bad_is_wrong_use() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad.yaml");
    std::fs::write(&bad, "sources:\n  orders: { tabel: T }\nmetrics: { sales: { source: nope } }\n").unwrap();
    let bad = bad.to_str().unwrap();
    for workload in WORKLOADS {
        let ended = run(workload, &[], &changed(complete(&world), "TIDEMARK_DEFINITIONS", "no/such.yaml")).await;
        assert_told(&ended, 2, "TIDEMARK_DEFINITIONS: the definition file no/such.yaml cannot be read: No such file");
        let ended = run(workload, &[], &changed(complete(&world), "TIDEMARK_DEFINITIONS", bad)).await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        let told = ended.told();
        assert_eq!(told[0], format!("error: {bad} has problems:"));
        assert!(told.iter().any(|line| line.starts_with("line 2: sources.orders: unknown field `tabel`")), "{told:?}");
        assert!(told.iter().any(|line| line.starts_with("line 3: metrics.sales")), "{told:?}");
        assert!(told[1..].iter().all(|line| line.starts_with("line ")), "{told:?}");
    }
}
