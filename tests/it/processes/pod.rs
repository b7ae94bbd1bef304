//! A workload as a process with its probes, as a pod has it.

use std::path::Path;

use tidemark_tests::deployment::{DEADLINE, SECRET_KEY};
use tidemark_tests::{Deployment, wait_until};

use super::process::{Process, http};

/// A running workload.
pub(super) struct Pod {
    pub(super) process: Process,
    /// Where it answers probes.
    admin: String,
}

impl Pod {
    /// Starts an API and waits until it is ready; also where it serves.
    pub(super) async fn api(deployment: &Deployment, definitions: &Path) -> (Self, String) {
        let mut process = spawn("tidemark-api", deployment, definitions);
        let admin = address(&mut process, "probes and metrics are answered").await;
        let serving = address(&mut process, "the API listens").await;
        let pod = Self { process, admin };
        pod.until_ready().await;
        (pod, serving)
    }

    /// Starts a worker and waits until it is ready.
    pub(super) async fn ingest(deployment: &Deployment, definitions: &Path) -> Self {
        let mut process = spawn("tidemark-ingest", deployment, definitions);
        let admin = address(&mut process, "probes and metrics are answered").await;
        let pod = Self { process, admin };
        pod.until_ready().await;
        pod
    }

    /// Where its readiness is asked for.
    pub(super) fn readiness_url(&self) -> String {
        format!("{}/readyz", self.admin)
    }

    async fn until_ready(&self) {
        let (client, url) = (http(), self.readiness_url());
        wait_until("the pod to be ready", DEADLINE, async || is_ready(&client, &url).await).await;
    }
}

/// Whether a pod says that it is ready.
pub(super) async fn is_ready(client: &reqwest::Client, readiness_url: &str) -> bool {
    client.get(readiness_url).send().await.is_ok_and(|answer| answer.status() == 200)
}

/// What a workload is told: where its world and its definitions are, and to listen wherever there is room.
pub(super) fn variables(deployment: &Deployment, definitions: &Path) -> Vec<(&'static str, String)> {
    let mut variables = deployment.world.variables().to_vec();
    variables.extend([
        ("TIDEMARK_DEFINITIONS", definitions.to_str().expect("text").to_owned()),
        (SECRET_KEY.0, SECRET_KEY.1.to_owned()),
        ("TIDEMARK_API_ADDR", "127.0.0.1:0".to_owned()),
        ("TIDEMARK_ADMIN_ADDR", "127.0.0.1:0".to_owned()),
    ]);
    variables
}

fn spawn(workload: &str, deployment: &Deployment, definitions: &Path) -> Process {
    Process::spawn(workload, &[], &variables(deployment, definitions))
}

async fn address(process: &mut Process, message: &str) -> String {
    format!("http://{}", process.until_logged(message).await["addr"].as_str().expect("an address"))
}
