//! An HTTP/2 client that sends requests and reads no answer: its window stays closed.

use bytes::Bytes;
use hyper::Request;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// One connection whose answers' bodies stay with the server.
pub struct Unread {
    requests: h2::client::SendRequest<Bytes>,
    /// Ends with the connection.
    driver: JoinSet<Result<(), h2::Error>>,
    url: String,
    /// An answer that is dropped is reset, and then it is unread no longer.
    kept: Vec<hyper::Response<h2::RecvStream>>,
}

impl Unread {
    /// Connects to an API.
    ///
    /// # Panics
    /// When it cannot be reached, or does not speak HTTP/2.
    pub async fn connect(url: &str) -> Self {
        let stream = TcpStream::connect(url.strip_prefix("http://").expect("a URL")).await.expect("the API listens");
        let handshake = h2::client::Builder::new().initial_window_size(0).handshake(stream).await;
        let (requests, connection) = handshake.expect("it speaks HTTP/2");
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        Self { requests, driver, url: url.to_owned(), kept: Vec::new() }
    }

    /// Asks for all of these at once. The statuses of the answers; `None` where none came.
    ///
    /// # Panics
    /// When a path is none.
    pub async fn ask(&mut self, paths: impl IntoIterator<Item = String>, key: &str) -> Vec<Option<u16>> {
        let mut answers = JoinSet::new();
        for path in paths {
            let request = Request::get(format!("{}{path}", self.url)).header("authorization", format!("Bearer {key}"));
            // As clients do: a compressed answer must not be forgotten, either.
            let request = request.header("accept-encoding", "gzip").body(()).expect("a request");
            let Ok(mut ready) = self.requests.clone().ready().await else { break };
            let Ok((answer, _)) = ready.send_request(request, true) else { break };
            answers.spawn(answer);
        }
        let mut statuses = Vec::new();
        for answer in answers.join_all().await {
            statuses.push(answer.as_ref().ok().map(|answer| answer.status().as_u16()));
            self.kept.extend(answer.ok());
        }
        statuses
    }

    /// Waits until the server has closed the connection.
    pub async fn closed(mut self) {
        // Whether with an error does not matter.
        drop(self.driver.join_next().await);
    }
}
