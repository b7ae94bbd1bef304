//! Webhooks go to the address that was judged, whatever proxy the environment names: a proxy would look the name up again, past
//! the judgement. ALERTS §4.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tidemark_tests::Receiver;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::process::{Process, post};

/// What a client that heeds its environment is led by; `NO_PROXY`, which would spare loopback, is not set.
const PROXIES: [&str; 6] = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// A listener that counts who comes, and hangs up once it has been spoken to.
struct Trap {
    url: String,
    came: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl Trap {
    async fn set(scheme: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let (came, mut task) = (Arc::<AtomicUsize>::default(), JoinSet::new());
        let counter = Arc::clone(&came);
        task.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
                // Whatever is said: that there was somebody is all there is to know.
                stream.read_u8().await.ok();
            }
        });
        Self { url, came, _task: task }
    }

    fn came(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_not_used_for_webhooks() {
    let (proxy, direct, receiver) = (Trap::set("http").await, Trap::set("https").await, Receiver::start().await);
    let variables = PROXIES.map(|name| (name, proxy.url.clone()));
    let arguments = ["dev", "--port", "0", "--dynamodb-port", "0", "--json"];
    let mut process = Process::spawn("tidemark", &arguments, &variables);
    let dev: Value = serde_json::from_str(&process.first_line().await).unwrap();
    let (api, key) = (dev["api_url"].as_str().unwrap(), dev["keys"]["demo"].as_str().unwrap());
    let tested = async |url: &str| {
        let made = post(&format!("{api}/v1/webhook-endpoints"), key, json!({ "url": url })).await;
        let id = made["id"].as_str().unwrap();
        post(&format!("{api}/v1/webhook-endpoints/{id}/test"), key, json!({})).await
    };
    // The API's tests, over both schemes: what hangs up during a handshake was spoken to directly.
    assert_eq!(tested(&receiver.url("plain")).await["outcome"], "delivered");
    let outcome = tested(&direct.url).await["outcome"].clone();
    assert!(direct.came() > 0, "{outcome}: the endpoint over TLS was never reached");
    // The dispatcher's deliveries, of the sample stock.
    receiver.until_received("plain", 2).await;
    assert_eq!(proxy.came(), 0, "something went through the proxy");
}
