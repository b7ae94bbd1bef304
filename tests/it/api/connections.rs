//! Clients that connect and say nothing, that stop in the middle, or that do not read: their connections are closed, what they held is
//! free again, and others are served meanwhile. The rules of the table are held by `services/api/src/connections/tests.rs`.

use std::time::Duration;

use tidemark_api::{ConnectionLimits, EdgeSettings};
use tidemark_tests::client::settings;
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::unread::Unread;
use tidemark_tests::{RunningApi, wait_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::stock::Stock;

const RULES: &str = "/v1/alert-rules";
/// The client's part of the start of HTTP/2 (RFC 9113 §3.4), and an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// All times shorter, so that a test sees them pass.
const QUICK: ConnectionLimits = ConnectionLimits {
    connections_max: 200,
    peer_max: 100,
    unsent_max: 1024,
    first_head_max: Duration::from_millis(500),
    idle_max: Duration::from_secs(1),
    age_max: Duration::from_secs(3600),
    send_max: Duration::from_secs(3),
    sweep_every: Duration::from_millis(100),
};

async fn quick(stock: &Stock, connections: ConnectionLimits) -> RunningApi {
    stock.deployment.start_api_at(EdgeSettings { connections, ..settings().edge }).await
}

async fn connect(api: &RunningApi) -> TcpStream {
    TcpStream::connect(api.url().strip_prefix("http://").expect("a URL")).await.expect("the API listens")
}

/// Waits until the server closes the connection. What it says before does not matter.
async fn closed(mut stream: TcpStream) {
    let hearing = async {
        let mut buffer = [0; 4096];
        while let Ok(1..) = stream.read(&mut buffer).await {}
    };
    tokio::time::timeout(DEADLINE, hearing).await.expect("the connection is closed");
}

#[tokio::test]
async fn a_connection_without_a_whole_request_head_is_closed_however_it_begins() {
    let stock = Stock::open().await;
    let api = quick(&stock, QUICK).await;
    let h2 = [PREFACE, SETTINGS].concat();
    let beginnings: [&[u8]; 6] = [b"", b"G", b"GET /v1/status HTTP/1.1\r\nhost: x\r\n", &PREFACE[..10], PREFACE, &h2];
    for beginning in beginnings {
        let mut stream = connect(&api).await;
        stream.write_all(beginning).await.expect("it is open");
        closed(stream).await;
    }
}

#[tokio::test]
async fn a_connection_without_a_next_request_is_closed() {
    let stock = Stock::open().await;
    let api = quick(&stock, QUICK).await;
    let mut stream = connect(&api).await;
    stream.write_all(b"GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\nGET /v1/sta").await.expect("it is open");
    closed(stream).await;
    let mut http2 = Unread::connect(api.url()).await;
    let key = stock.deployment.key_of("acme").await;
    assert_eq!(http2.ask(["/docs".to_owned()], &key).await.len(), 1);
    tokio::time::timeout(DEADLINE, http2.closed()).await.expect("the connection is closed");
}

#[tokio::test]
async fn a_flood_of_silent_connections_closes_its_own_oldest_and_shuts_no_other_client_out() {
    let stock = Stock::open().await;
    // No time is ever over: what is closed is closed to make room.
    let hour = Duration::from_secs(3600);
    let api = quick(&stock, ConnectionLimits { first_head_max: hour, idle_max: hour, send_max: hour, ..QUICK }).await;
    let client = api.client(stock.deployment.key_of("acme").await);
    let mut silent = Vec::new();
    for _ in 0..3 {
        for _ in 0..QUICK.peer_max {
            silent.push(connect(&api).await);
        }
        assert_eq!(client.get(RULES).await.status, 200);
    }
    let first = silent.swap_remove(0);
    closed(first).await;
}

#[tokio::test]
async fn answers_that_are_not_read_take_their_tenants_places_alone_until_they_are_dropped() {
    let stock = Stock::open().await;
    let api = quick(&stock, QUICK).await;
    let key = stock.deployment.key_of("acme").await;
    let others = api.client(stock.deployment.key_of("rival").await);
    let mut unread = Unread::connect(api.url()).await;
    let rules = |count: usize| (0..count).map(|_| RULES.to_owned());
    assert_eq!(unread.ask(rules(64), &key).await, [Some(200); 64]);
    assert_eq!(unread.ask(rules(3), &key).await, [Some(429); 3], "a place is held until its answer is sent");
    assert_eq!(others.get(RULES).await.status, 200, "another tenant has its own places");
    tokio::time::timeout(DEADLINE, unread.closed()).await.expect("the connection is closed");
    let own = api.client(key);
    wait_until("the places to be free again", DEADLINE, async || own.get(RULES).await.status == 200).await;
}
