//! The admin port over a real socket.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::*;

struct Admin {
    addr: SocketAddr,
    health: Health,
    registry: Registry,
    shutdown: CancellationToken,
    server: JoinSet<()>,
}

impl Admin {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (health, registry, shutdown) = (Health::starting(), Registry::new(), CancellationToken::new());
        let mut server = JoinSet::new();
        server.spawn(serve(listener, health.clone(), registry.clone(), shutdown.clone()));
        Self { addr, health, registry, shutdown, server }
    }

    /// Sends one request line and returns the whole answer.
    async fn ask(&self, line: &str) -> String {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(format!("{line} HTTP/1.1\r\nHost: admin\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

#[tokio::test]
async fn readyz_follows_readiness_and_gives_the_reason() {
    let admin = Admin::start().await;
    let answer = admin.ask("GET /readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("\r\n\r\nstarting\n"), "{answer}");
    admin.health.ready();
    let answer = admin.ask("GET /readyz").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nready\n"), "{answer}");
    admin.health.not_ready("draining");
    let answer = admin.ask("GET /readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("\r\n\r\ndraining\n"), "{answer}");
}

#[tokio::test]
async fn livez_fails_when_a_watched_task_stalls() {
    let admin = Admin::start().await;
    assert!(admin.ask("GET /livez").await.starts_with("HTTP/1.1 200 "));
    let _progress = admin.health.watch("reader", Duration::ZERO);
    let answer = admin.ask("GET /livez").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("reader: no progress"), "{answer}");
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let admin = Admin::start().await;
    let counter = prometheus::IntCounter::new("tidemark_tests_total", "counted by a test").unwrap();
    admin.registry.register(Box::new(counter.clone())).unwrap();
    counter.inc_by(3);
    let answer = admin.ask("GET /metrics").await;
    assert!(answer.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{answer}");
    assert!(answer.ends_with("tidemark_tests_total 3\n"), "{answer}");
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let admin = Admin::start().await;
    assert!(admin.ask("GET /").await.starts_with("HTTP/1.1 404 "));
    assert!(admin.ask("POST /nowhere").await.starts_with("HTTP/1.1 404 "));
    let answer = admin.ask("POST /livez").await;
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.to_lowercase().contains("allow: get\r\n"), "{answer}");
}

#[tokio::test]
async fn idle_connections_are_bounded_and_let_go() {
    let admin = Admin::start().await;
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        idle.push(TcpStream::connect(admin.addr).await.unwrap());
    }
    // Every permit is taken by a client that says nothing; the probe is answered once the header time-out frees one.
    let asked = tokio::time::Instant::now();
    assert!(admin.ask("GET /livez").await.starts_with("HTTP/1.1 200 "));
    assert!(asked.elapsed() >= HEADER_TIMEOUT / 2, "the probe got past {CONNECTIONS_MAX} open connections");
}

#[tokio::test]
async fn shutdown_ends_the_server_with_a_client_still_connected() {
    let mut admin = Admin::start().await;
    let mut client = TcpStream::connect(admin.addr).await.unwrap();
    admin.shutdown.cancel();
    admin.server.join_next().await.unwrap().unwrap();
    let end = client.read(&mut [0; 1]).await;
    assert!(matches!(end, Ok(0) | Err(_)), "the connection is closed: {end:?}");
}
