//! A rolling update of both workloads, as Deployments with `maxUnavailable: 0, maxSurge: 1` do it: nobody who asks notices, and
//! everything that is written counts. What a shard waits for meanwhile is measured in virtual time (`many_workers::rolling`).

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tidemark_api::DRAIN_DELAY;
use tidemark_runtime::clock;
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::{Deployment, oracle, wait_until};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::pod::{Pod, is_ready};
use super::process::{ask, http, since_yesterday};

/// Of each workload.
const PODS: usize = 2;
const SHARDS: usize = 4;
/// Clients that ask without a pause.
const CLIENTS: usize = 4;
/// How often a pod is asked whether it is ready.
const PROBE_PERIOD: Duration = Duration::from_millis(200);
/// From one order to the next.
const WRITE_PERIOD: Duration = Duration::from_millis(20);

/// Where clients are sent: the pods that were ready when they were last asked, like the endpoints of a Service.
#[derive(Debug, Clone, Default)]
struct Service(Arc<Mutex<Vec<String>>>);

impl Service {
    /// Sends clients to a pod for as long as it is ready.
    async fn lead_to(self, serving: String, readiness_url: String) {
        self.0.lock().unwrap().push(serving.clone());
        let (client, mut probe) = (http(), tokio::time::interval(PROBE_PERIOD));
        while is_ready(&client, &readiness_url).await {
            probe.tick().await;
        }
        self.0.lock().unwrap().retain(|known| *known != serving);
    }

    fn endpoint(&self, turn: usize) -> String {
        let endpoints = self.0.lock().unwrap();
        endpoints[turn % endpoints.len()].clone()
    }
}

/// Asks without a pause until it is told to stop; everything that was no good answer.
async fn ask_on(service: Service, key: String, answered: Arc<AtomicUsize>, stop: CancellationToken) -> Vec<String> {
    let (client, mut failures) = (http(), Vec::new());
    for turn in 0.. {
        if stop.is_cancelled() {
            break;
        }
        let url = format!("{}/v1/metrics/sales/values?{}", service.endpoint(turn), since_yesterday());
        match client.get(&url).bearer_auth(&key).send().await {
            Ok(answer) if matches!(answer.status().as_u16(), 200 | 429) => match answer.bytes().await {
                Ok(_) => drop(answered.fetch_add(1, Ordering::Relaxed)),
                Err(error) => failures.push(format!("{error:?}")),
            },
            Ok(answer) => failures.push(format!("{}: {}", answer.status(), answer.text().await.unwrap_or_default())),
            Err(error) => failures.push(format!("{error:?}")),
        }
    }
    failures
}

/// Writes orders of one unit each until it is told to stop; how many.
async fn write_on(deployment: &Deployment, stop: &CancellationToken) -> usize {
    let (mut written, mut turn) = (0, tokio::time::interval(WRITE_PERIOD));
    while !stop.is_cancelled() {
        turn.tick().await;
        written += 1;
        let order = json!({
            "id": {"S": format!("order-{written}")}, "order_date": {"S": clock::now().to_string()}, "item_number": {"S": "tea"},
            "quantity": {"N": "1"}, "unit_price": {"N": "1"},
        });
        deployment.put(oracle::TABLE, order).await;
    }
    written
}

/// Both workloads, while their pods are replaced.
struct Rollout<'a> {
    deployment: &'a Deployment,
    definitions: &'a Path,
    service: Service,
    probes: JoinSet<()>,
    apis: Vec<Pod>,
    workers: Vec<Pod>,
}

impl Rollout<'_> {
    /// One more pod of each.
    async fn surge(&mut self) {
        let (api, serving) = Pod::api(self.deployment, self.definitions).await;
        self.probes.spawn(self.service.clone().lead_to(serving, api.readiness_url()));
        self.apis.push(api);
        self.workers.push(Pod::ingest(self.deployment, self.definitions).await);
    }

    /// Replaces every pod; those that were there are to end well.
    async fn replace_all(&mut self) {
        let mut leaving = Vec::new();
        for _ in 0..PODS {
            self.surge().await;
            for pods in [&mut self.apis, &mut self.workers] {
                let oldest = pods.remove(0);
                oldest.process.signal("-TERM").await;
                leaving.push(oldest);
            }
        }
        for pod in leaving {
            let ended = pod.process.ended(DRAIN_DELAY + DEADLINE).await;
            assert_eq!((ended.code, ended.told()), (Some(0), Vec::new()), "{}", ended.stderr);
        }
    }
}

#[tokio::test]
async fn no_request_fails_and_every_change_counts_once_while_all_pods_are_replaced() {
    let deployment = Deployment::start_with_shards(oracle::DEFINITIONS, SHARDS).await;
    deployment.create_tenant("demo", "UTC").await;
    let key = deployment.key_of("demo").await;
    let folder = tempfile::tempdir().unwrap();
    let definitions = folder.path().join("definitions.yaml");
    std::fs::write(&definitions, oracle::DEFINITIONS).unwrap();
    let mut rollout = Rollout {
        deployment: &deployment,
        definitions: &definitions,
        service: Service::default(),
        probes: JoinSet::new(),
        apis: Vec::new(),
        workers: Vec::new(),
    };
    for _ in 0..PODS {
        rollout.surge().await;
    }

    let (stop, answered, mut clients) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)), JoinSet::new());
    wait_until("clients to be led somewhere", DEADLINE, async || rollout.service.0.lock().unwrap().len() == PODS).await;
    for _ in 0..CLIENTS {
        clients.spawn(ask_on(rollout.service.clone(), key.clone(), Arc::clone(&answered), stop.clone()));
    }
    let replaced = async {
        wait_until("requests to be under way", DEADLINE, async || answered.load(Ordering::Relaxed) > 50).await;
        rollout.replace_all().await;
        stop.cancel();
    };
    let (written, ()) = tokio::join!(write_on(&deployment, &stop), replaced);
    for failures in clients.join_all().await {
        assert_eq!(failures, Vec::<String>::new());
    }
    println!("{} requests, {written} orders", answered.load(Ordering::Relaxed));

    deployment.settled("orders").await;
    let url = format!("{}/v1/metrics/sales/values?{}", rollout.service.endpoint(0), since_yesterday());
    wait_until("every order to be answered, once", DEADLINE, async || {
        let units = ask(&url, &key).await["totals"][0]["values"]["units"].as_str().map(str::to_owned);
        units == Some(written.to_string())
    })
    .await;
}
