//! Listening sockets, with errors that say what to do, and the connections that come to them, never too many.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Pause after a failed accept. It fails when the process is out of file descriptors, and would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a process cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen on {addr}: address in use; stop the other process or set {setting}")]
    InUse { addr: SocketAddr, setting: &'static str },
    #[error("cannot listen on {addr}; set {setting} to an address and port that this process may use")]
    Refused {
        addr: SocketAddr,
        setting: &'static str,
        #[source]
        cause: io::Error,
    },
}

/// Listens on an address; port 0 takes any free one. `setting` names what to change when that fails: a variable or an option.
///
/// # Errors
/// [`Error::InUse`] when another socket listens there, else [`Error::Refused`].
pub async fn listen(addr: SocketAddr, setting: &'static str) -> Result<TcpListener, Error> {
    TcpListener::bind(addr).await.map_err(|cause| match cause.kind() {
        io::ErrorKind::AddrInUse => Error::InUse { addr, setting },
        _ => Error::Refused { addr, setting, cause },
    })
}

/// Accepts connections until `stop`, and serves each in a task of its own. While `max` are open, more wait to be accepted.
///
/// Then nothing listens any longer, and the connections still open are given back: dropped, they end.
pub async fn accept<Served>(
    listener: TcpListener,
    max: usize,
    stop: impl Future<Output = ()>,
    serve: impl Fn(TcpStream) -> Served,
) -> JoinSet<()>
where
    Served: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => return connections,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < max => match accepted {
                Ok((stream, _)) => drop(connections.spawn(serve(stream))),
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_in_use_names_the_setting_to_change() {
        let first = listen(SocketAddr::from(([127, 0, 0, 1], 0)), "TIDEMARK_API_ADDR").await.unwrap();
        let addr = first.local_addr().unwrap();
        let error = listen(addr, "TIDEMARK_API_ADDR").await.unwrap_err().to_string();
        assert_eq!(error, format!("cannot listen on {addr}: address in use; stop the other process or set TIDEMARK_API_ADDR"));
    }

    #[tokio::test]
    async fn a_foreign_address_is_refused_with_its_cause() {
        // 192.0.2.0/24 is reserved for documentation (RFC 5737): no interface has it.
        let error = listen(SocketAddr::from(([192, 0, 2, 1], 0)), "TIDEMARK_API_ADDR").await.unwrap_err();
        assert!(matches!(&error, Error::Refused { cause, .. } if cause.kind() == io::ErrorKind::AddrNotAvailable), "{error:?}");
    }
}
