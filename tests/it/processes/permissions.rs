//! The IAM policies of `deploy/iam` against what the processes do: they allow all of it, and nothing besides.
//!
//! That they allow enough is also held by every other test that runs a worker or an API, for their world judges them by these
//! policies. OPERATIONS, Permissions.

mod exercise;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use serde_json::json;
use tidemark_runtime::clock;
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::policy::{Access, Part};
use tidemark_tests::{Deployment, Workload, World, oracle, wait_until};

use super::process::{Ended, Process, run};
use exercise::{Exercise, variables};

const TABLE: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/tidemark";
/// Shortest that the refusals of a test may take; a storm is over in less. Pauses before another commit are drawn below bounds that double
/// from 20 ms, so by chance alone eight refusals take less once in a hundred thousand runs.
const PATIENCE: Duration = Duration::from_millis(100);

/// Everything a policy says that nothing seen so far would be refused without.
fn unneeded(workload: Workload, allowed: &BTreeMap<Vec<Part>, Access>) -> Vec<String> {
    let policy = workload.policy();
    let is_unneeded = |part: &Part| {
        let less = policy.without(part);
        allowed.values().all(|access| less.grounds(access).is_some())
    };
    let unneeded = policy.parts().into_iter().filter(is_unneeded).map(|part| format!("{workload:?}: {part}"));
    let is_unused = |pair: &[Part; 2]| !allowed.keys().any(|grounds| pair.iter().all(|part| grounds.contains(part)));
    let unused =
        policy.pairs().into_iter().filter(is_unused).map(|[action, of]| format!("{workload:?}: {action} on {}", of.text));
    unneeded.chain(unused).collect()
}

#[test]
fn no_policy_has_an_action_by_a_wildcard_and_only_the_operators_a_scan() {
    for workload in Workload::ALL {
        let parts = workload.policy().parts();
        for action in parts.iter().filter(|part| part.is_action()) {
            assert!(action.text.starts_with("dynamodb:"), "{workload:?} {action}");
            assert!(!action.text.contains(['*', '?']), "{workload:?} {action}");
            assert!(action.text != "dynamodb:Scan" || workload == Workload::Operator, "{workload:?} {action}");
        }
    }
}

#[tokio::test]
async fn every_part_of_the_policies_is_needed_and_without_it_a_call_is_refused() {
    let mut exercise = Exercise::begin().await;
    let worker = exercise.worker().await;
    exercise.count().await;
    exercise.alert().await;
    exercise.notify().await;
    let _worker = exercise.share(worker).await;
    exercise.administer().await;
    assert_eq!(exercise.not_called().await, Vec::<String>::new());

    let (front, deadline) = (exercise.deployment.world.front(), Instant::now() + DEADLINE / 2);
    let mut left = Vec::new();
    wait_until("every part to be needed", DEADLINE, async || {
        let workloads = [Workload::Ingest, Workload::Api, Workload::Operator].into_iter();
        left = workloads.flat_map(|workload| unneeded(workload, &front.allowed(workload))).collect();
        left.is_empty() || Instant::now() > deadline
    })
    .await;
    assert_eq!(left, Vec::<String>::new());
}

#[tokio::test]
#[should_panic(expected = "the policies of deploy/iam allow too little")]
async fn a_test_in_which_a_workload_is_refused_a_call_fails() {
    let world = World::start().await;
    let client = aws_sdk_dynamodb::Client::new(&world.config_of(Workload::Api));
    let refused = client.scan().table_name("tidemark").send().await.unwrap_err();
    assert_eq!(refused.code(), Some("AccessDeniedException"));
}

#[tokio::test]
async fn init_needs_every_part_of_its_policy() {
    let world = World::start().await;
    assert_eq!(run("tidemark", &["init", "--tenant", "acme=Europe/Berlin"], &world.variables()).await.code, Some(0));
    assert_eq!(unneeded(Workload::Init, &world.front().allowed(Workload::Init)), Vec::<String>::new());
}

/// One line with everything that whoever repairs the policy needs.
fn assert_told(ended: &Ended, workload: &str, action: &str, resource: &str) {
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let [line] = ended.told()[..] else { panic!("one line: {ended:?}") };
    assert_names(line, workload, action, resource);
}

fn assert_names(text: &str, workload: &str, action: &str, resource: &str) {
    let role = format!("assumed-role/tidemark-{workload}/");
    for part in ["deploy/iam", &role, &format!("perform: {action} on resource: {resource}")] {
        assert!(text.contains(part), "no `{part}`: {text}");
    }
}

#[tokio::test]
async fn a_process_that_lacks_an_action_at_its_start_ends_and_names_role_action_and_resource() {
    let cases = [
        (Workload::Ingest, "ingest", "Tables", "dynamodb:DescribeTable", "tidemark-ingest", &[][..]),
        (Workload::Ingest, "ingest", "Streams", "dynamodb:DescribeStream", "tidemark-ingest", &[]),
        (Workload::Ingest, "ingest", "LeasesAndPositions", "dynamodb:UpdateItem", "tidemark-ingest", &[]),
        (Workload::Api, "api", "StreamsStatus", "dynamodb:GetItem", "tidemark-api", &[]),
        (Workload::Init, "init", "CreateTables", "dynamodb:DescribeTimeToLive", "tidemark", &["init"]),
        (Workload::Init, "init", "CreateTables", "dynamodb:UpdateContinuousBackups", "tidemark", &["init"]),
        (Workload::Operator, "operator", "Put", "dynamodb:PutItem", "tidemark", &["key", "create", "--operator"]),
    ];
    for (workload, role, sid, action, binary, arguments) in cases {
        let deployment = Deployment::start(oracle::DEFINITIONS).await;
        deployment.world.front().take_away(workload, &Part::action(sid, action));
        let folder = tempfile::tempdir().unwrap();
        let definitions = folder.path().join("definitions.yaml");
        std::fs::write(&definitions, oracle::DEFINITIONS).unwrap();
        let ended = run(binary, arguments, &variables(&deployment, definitions.to_str().unwrap())).await;
        let resource = if sid == "Streams" { "arn:aws:dynamodb:us-east-1:000000000000:table/Orders/stream/" } else { TABLE };
        assert_told(&ended, role, action, resource);
    }
}

#[tokio::test]
async fn a_running_worker_that_is_denied_a_call_says_so_waits_and_goes_on_when_it_is_allowed() {
    let deployment = Deployment::start(oracle::DEFINITIONS).await;
    let folder = tempfile::tempdir().unwrap();
    let definitions = folder.path().join("definitions.yaml");
    std::fs::write(&definitions, oracle::DEFINITIONS).unwrap();
    let mut worker = Process::spawn("tidemark-ingest", &[], &variables(&deployment, definitions.to_str().unwrap()));
    worker.until_logged("worker started").await;
    let front = deployment.world.front();
    for (number, (sid, action, message, refusals)) in [
        ("Streams", "dynamodb:GetRecords", "reading a shard failed; trying again", 2),
        ("Update", "dynamodb:UpdateItem", "a commit failed; trying again", 8),
    ]
    .into_iter()
    .enumerate()
    {
        front.take_away(Workload::Ingest, &Part::action(sid, action));
        let (began, before) = (Instant::now(), front.refused().len());
        let order = json!({
            "id": {"S": number.to_string()}, "order_date": {"S": clock::now().to_string()}, "quantity": {"N": "1"},
            "unit_price": {"N": "1"},
        });
        deployment.put(oracle::TABLE, order).await;
        let logged = worker.until_logged(message).await;
        let resource = if sid == "Streams" { "arn:aws:dynamodb:us-east-1:000000000000:table/Orders/stream/" } else { TABLE };
        assert_names(logged["error"].as_str().unwrap(), "ingest", action, resource);
        wait_until("it to be refused again and again", DEADLINE, async || front.refused().len() >= before + refusals).await;
        println!("{action}: {refusals} refusals in {:?}", began.elapsed());
        assert!(began.elapsed() > PATIENCE, "a storm: {refusals} refusals in {:?}", began.elapsed());
        front.give_back(Workload::Ingest);
        deployment.expect_total("demo", ("sales", "units"), None, &(number + 1).to_string()).await;
    }
}
