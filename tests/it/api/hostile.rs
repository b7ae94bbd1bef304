//! Requests made to do harm, over real sockets: each is refused by name, and the API goes on answering.

use std::time::Duration;

use serde_json::Value;
use tidemark_tests::deployment::DEADLINE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::stock::Stock;

const RULES: &str = "/v1/alert-rules";

/// What came back over a socket: a status, and the body.
struct Heard {
    status: u16,
    text: String,
}

impl Heard {
    fn code(&self) -> String {
        let body = self.text.split_once("\r\n\r\n").expect("a head and a body").1;
        let problem: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {}", self.text));
        assert_eq!(problem["status"], self.status);
        problem["code"].as_str().expect("a code").to_owned()
    }
}

/// An API with a good key, spoken to byte by byte.
struct Wire {
    stock: Stock,
    key: String,
}

impl Wire {
    async fn open() -> Self {
        let stock = Stock::open().await;
        let key = stock.deployment.key_of("acme").await;
        Self { stock, key }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.stock.api.url().strip_prefix("http://").expect("a URL")).await.unwrap()
    }

    fn head(&self, method: &str, path: &str, headers: &str) -> String {
        format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n{headers}\r\n", self.key)
    }

    /// Sends bytes as they are, as far as they are taken, and hears until the connection ends.
    async fn say(&self, bytes: &[u8]) -> Heard {
        let (mut reader, mut writer) = self.connect().await.into_split();
        let saying = async {
            // A server that has said no takes no more: what is left unsaid is no failure.
            for part in bytes.chunks(16 * 1024) {
                if writer.write_all(part).await.is_err() {
                    break;
                }
            }
            writer
        };
        let hearing = async {
            let (mut heard, mut buffer) = (Vec::new(), [0; 4096]);
            while let Ok(length @ 1..) = reader.read(&mut buffer).await {
                heard.extend_from_slice(&buffer[..length]);
            }
            String::from_utf8_lossy(&heard).into_owned()
        };
        let both = async { tokio::join!(saying, hearing) };
        let (_, text) = tokio::time::timeout(DEADLINE, both).await.expect("the connection ends");
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        Heard { status: status.unwrap_or_else(|| panic!("no answer: {text:?}")), text }
    }

    async fn post(&self, headers: &str, body: &[u8]) -> Heard {
        let head = self.head("POST", RULES, &format!("content-length: {}\r\n{headers}", body.len()));
        self.say(&[head.as_bytes(), body].concat()).await
    }

    /// That it is none the worse.
    async fn is_well(&self) {
        assert_eq!(self.stock.api.client(&self.key).get(RULES).await.status, 200);
    }
}

const JSON: &str = "content-type: application/json\r\n";

#[tokio::test]
async fn bodies_that_are_too_long_are_refused_whether_they_say_so_or_not() {
    let wire = Wire::open().await;
    let ten_megabytes = vec![b' '; 10 * 1024 * 1024];
    let said = wire.post(JSON, &ten_megabytes).await;
    assert_eq!((said.status, said.code()), (413, "body_too_large".to_owned()));
    let mut chunked = wire.head("POST", RULES, &format!("transfer-encoding: chunked\r\n{JSON}")).into_bytes();
    for part in ten_megabytes.chunks(64 * 1024) {
        chunked.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        chunked.extend_from_slice(part);
        chunked.extend_from_slice(b"\r\n");
    }
    let unsaid = wire.say(&chunked).await;
    assert_eq!((unsaid.status, unsaid.code()), (413, "body_too_large".to_owned()));
    wire.is_well().await;
}

#[tokio::test]
async fn bodies_that_are_no_plain_json_are_refused_by_what_they_are() {
    let wire = Wire::open().await;
    let deep = format!("{}{}", "{\"a\":".repeat(20_000), "}".repeat(20_000));
    let wide = format!("{{{}\"z\":1}}", (0..20_000).map(|number| format!("\"f{number}\":0,")).collect::<String>());
    let gzip = format!("{JSON}content-encoding: gzip\r\n");
    let invalid = || "invalid_body".to_owned();
    for (headers, body, status, code) in [
        (JSON, deep.as_bytes(), 400, invalid()),
        (JSON, "[".repeat(200_000).as_bytes(), 400, invalid()),
        (JSON, wide.as_bytes(), 400, "invalid_parameters".to_owned()),
        (JSON, b"{\"name\":\"\xff\xfe\"}", 400, invalid()),
        (JSON, b"{\"name\":\"\\ud800\"}", 400, invalid()),
        (JSON, b"{\"name\":\"a\",\"name\":\"b\"}", 400, invalid()),
        (JSON, b"{\"name\":1e999999}", 400, invalid()),
        (JSON, b"", 400, invalid()),
        (&gzip, b"\x1f\x8b\x08\x00", 415, "unsupported_encoding".to_owned()),
        ("content-type: text/xml\r\n", b"<a/>", 415, "unsupported_media_type".to_owned()),
    ] {
        let heard = wire.post(headers, body).await;
        assert_eq!((heard.status, heard.code()), (status, code), "{:.80}", String::from_utf8_lossy(body));
    }
    wire.is_well().await;
}

#[tokio::test]
async fn addresses_and_parameters_that_make_no_sense_are_refused() {
    let wire = Wire::open().await;
    let flood = (0..3_000).map(|number| format!("p{number}=1&")).collect::<String>();
    for (path, status) in [
        (format!("{RULES}?limit=1&limit=2"), 400),
        (format!("{RULES}?limit=%ff"), 400),
        (format!("{RULES}?%00=%00"), 400),
        (format!("{RULES}?{flood}"), 400),
        (format!("{RULES}?cursor={}", "A".repeat(30_000)), 400),
        (format!("{RULES}?cursor={}", "A".repeat(50_000)), 414),
        (format!("{RULES}/%ff%fe"), 400),
        (format!("{RULES}/..%2f..%2fetc"), 404),
        (format!("{RULES}/{}", "r".repeat(30_000)), 404),
        (format!("{RULES}/{}", "r".repeat(50_000)), 414),
        ("/v1/inventory/%00".to_owned(), 404),
    ] {
        let heard = wire.say(wire.head("GET", &path, "").as_bytes()).await;
        assert_eq!(heard.status, status, "{path:.80}: {:.300}", heard.text);
        assert!(!heard.code().is_empty());
    }
    wire.is_well().await;
}

#[tokio::test]
async fn too_many_headers_are_refused_by_name_and_a_flood_of_them_ends_the_connection() {
    let wire = Wire::open().await;
    let many = |count: usize| (0..count).map(|number| format!("x-{number}: y\r\n")).collect::<String>();
    let long = |length: usize| format!("x-long: {}\r\n", "y".repeat(length));
    for headers in [many(101), many(500), long(20_000), long(50_000)] {
        let heard = wire.say(wire.head("GET", RULES, &headers).as_bytes()).await;
        assert_eq!((heard.status, heard.code()), (431, "request_header_fields_too_large".to_owned()), "{headers:.20}");
    }
    // Nobody sends so much by mistake: it is not read, and there is no body.
    for headers in [many(5_000), long(1024 * 1024)] {
        let heard = wire.say(wire.head("GET", RULES, &headers).as_bytes()).await;
        assert_eq!(heard.status, 431, "{:.200}", heard.text);
    }
    let heard = wire.say(b"\x16\x03\x01 this is no HTTP\r\n\r\n").await;
    assert_eq!(heard.status, 400);
    wire.is_well().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let wire = Wire::open().await;
    let head = wire.head("POST", RULES, &format!("content-length: 100\r\n{JSON}"));
    let mut slow = wire.connect().await;
    slow.write_all(format!("{head}{{").as_bytes()).await.unwrap();
    let mut heard = String::new();
    // The time a request may take, and a machine that is busy.
    tokio::time::timeout(DEADLINE + Duration::from_secs(10), slow.read_to_string(&mut heard)).await.expect("an answer").unwrap();
    assert!(heard.starts_with("HTTP/1.1 503 "), "{heard}");
    assert!(heard.to_lowercase().contains("retry-after: 1\r\n") && heard.contains("\"code\":\"timeout\""), "{heard}");
    wire.is_well().await;
}
