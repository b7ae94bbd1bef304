//! Receivers that attack: they redirect inwards, never end, unpack to gigabytes, drip, hang up, or change their address.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

const GIGABYTE: usize = 1 << 30;

#[tokio::test]
async fn a_redirect_is_a_failure_and_never_followed() {
    let inside = Receiver::start(Reply::status("200 OK", "secrets")).await;
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"] {
        for location in ["http://169.254.169.254/latest/meta-data/".to_owned(), inside.url()] {
            let head = format!("HTTP/1.1 {status}\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
            let attempt = attempt_on(Reply::Raw(head.into_bytes())).await;
            assert_eq!((attempt.outcome, attempt.status), (Outcome::Redirect, status[..3].parse().ok()), "{location}");
            assert_eq!(attempt.peer, Some([127, 0, 0, 1].into()));
        }
    }
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn of_an_endless_body_only_the_beginning_is_read() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n";
    let receiver = Receiver::start(Reply::Stream { head, chunk: vec![b'x'; 64 * 1024], total: GIGABYTE }).await;
    let attempt = sender(Scripted::new(&[&[]])).send(&request(receiver.url())).await;
    assert_eq!((attempt.outcome, attempt.snippet.len()), (Outcome::Delivered, SNIPPET_MAX));
    // What the sockets' own buffers took, and no more.
    assert!(receiver.written() < GIGABYTE / 16, "{} bytes", receiver.written());
}

#[tokio::test]
async fn a_gzip_bomb_is_never_unpacked() {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..64 {
        packed.write_all(&[0; 1 << 20]).expect("memory");
    }
    let packed = packed.finish().expect("memory");
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", packed.len());
    let attempt = attempt_on(Reply::Raw([head.as_bytes(), &packed].concat())).await;
    assert_eq!(attempt.outcome, Outcome::Delivered);
    assert!(attempt.snippet.starts_with("\u{1f}\u{fffd}\u{8}"), "the bytes are as they came: {:?}", attempt.snippet);
}

#[tokio::test]
async fn a_body_that_drips_runs_out_of_time_and_is_no_delivery() {
    let bytes = &[b'x'; 1000];
    for (head, outcome, status) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", Outcome::BodyTooSlow, 200),
        ("HTTP/1.1 410 Gone\r\ncontent-length: 1000\r\n\r\n", Outcome::Gone, 410),
        ("HTTP/1.1 503 Busy\r\nretry-after: 60\r\ncontent-length: 1000\r\n\r\n", Outcome::HttpStatus, 503),
    ] {
        let receiver = Receiver::start(Reply::Drip { head, bytes }).await;
        let attempt = sender(Scripted::new(&[&[]])).with_timeouts(SHORT).send(&request(receiver.url())).await;
        assert_eq!((attempt.outcome, attempt.status), (outcome, Some(status)));
        assert!(attempt.elapsed >= SHORT.exchange && attempt.elapsed < SHORT.exchange * 5, "{:?}", attempt.elapsed);
        assert!(attempt.snippet.starts_with('x'), "what came before the end is kept");
        assert_eq!(attempt.retry_after.is_some(), status == 503);
    }
}

#[tokio::test]
async fn a_head_that_drips_or_never_comes_is_a_timeout() {
    let drip = Reply::Drip { head: "", bytes: b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n" };
    for reply in [drip, Reply::Silence] {
        let receiver = Receiver::start(reply).await;
        let attempt = sender(Scripted::new(&[&[]])).with_timeouts(SHORT).send(&request(receiver.url())).await;
        assert_eq!((attempt.outcome, attempt.status), (Outcome::Timeout, None));
        assert_eq!((receiver.received().len(), receiver.connections()), (1, 1), "sent once");
    }
}

#[tokio::test]
async fn a_receiver_that_hangs_up_is_not_sent_the_request_again() {
    for (reply, outcome, status) in [
        ("", Outcome::Reset, None),
        ("HTTP/1.1 200 OK\r\ncont", Outcome::Reset, None),
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", Outcome::Reset, Some(200)),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", Outcome::Reset, Some(200)),
        ("HTTP/1.1 500 Broken\r\ncontent-length: 10\r\n\r\nhalf", Outcome::HttpStatus, Some(500)),
        ("SSH-2.0-OpenSSH_9.9\r\n\r\n", Outcome::BadResponse, None),
    ] {
        let receiver = Receiver::start(Reply::Raw(reply.into())).await;
        let attempt = sender(Scripted::new(&[&[]])).send(&request(receiver.url())).await;
        assert_eq!((attempt.outcome, attempt.status), (outcome, status), "{reply}");
        assert_eq!((receiver.received().len(), receiver.connections()), (1, 1), "{reply}");
    }
}

#[tokio::test]
async fn a_name_is_looked_up_once_and_only_what_was_judged_is_connected_to() {
    let receiver = Receiver::start(Reply::status("200 OK", "")).await;
    let url = format!("http://rebinding.test:{}/hook", receiver.port());
    let resolver = Scripted::new(&[&["127.0.0.1"], &["10.0.0.1"]]);
    let sender = sender(resolver.clone());
    let first = sender.send(&request(url.clone())).await;
    assert_eq!((first.outcome, first.peer), (Outcome::Delivered, Some([127, 0, 0, 1].into())));
    assert_eq!(resolver.asked(), 1);
    let second = sender.send(&request(url)).await;
    assert_eq!((second.outcome, second.peer), (Outcome::DeniedAddress, None), "judged anew, whatever connections there were");
    assert_eq!((resolver.asked(), receiver.connections()), (2, 1));
}

#[tokio::test]
async fn a_name_that_moves_to_loopback_is_never_connected_to() {
    let receiver = Receiver::start(Reply::status("200 OK", "")).await;
    let url = format!("http://rebinding.test:{}/hook", receiver.port());
    // The first answer is fine, and nobody listens there.
    let resolver = Scripted::new(&[&["127.0.0.2"], &["127.0.0.1"]]);
    let sender = Sender::trusting(RootCertStore::empty(), policy("127.0.0.2/32"), resolver, "1").with_timeouts(SHORT);
    assert_eq!(sender.send(&request(url.clone())).await.peer, Some([127, 0, 0, 2].into()));
    assert_eq!(sender.send(&request(url)).await.outcome, Outcome::DeniedAddress);
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn one_denied_address_in_an_answer_refuses_them_all() {
    let receiver = Receiver::start(Reply::status("200 OK", "")).await;
    let url = format!("http://mixed.test:{}/hook", receiver.port());
    for answer in [["127.0.0.1", "169.254.169.254"], ["127.0.0.1", "8.8.8.8"], ["127.0.0.1", "::1"]] {
        let attempt = sender(Scripted::new(&[&answer])).send(&request(url.clone())).await;
        assert_eq!(attempt.outcome, Outcome::DeniedAddress, "{answer:?}");
    }
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn a_url_that_is_no_longer_allowed_is_not_sent_to() {
    let receiver = Receiver::start(Reply::status("200 OK", "")).await;
    let strict = Sender::trusting(RootCertStore::empty(), UrlPolicy::default(), Scripted::new(&[&["127.0.0.1"]]), "1");
    for (url, outcome) in [
        (receiver.url(), Outcome::RefusedUrl),
        (format!("https://127.0.0.1:{}/", receiver.port()), Outcome::RefusedUrl),
        (format!("https://receiver.test:{}/", receiver.port()), Outcome::DeniedAddress),
    ] {
        assert_eq!(strict.send(&request(url)).await.outcome, outcome);
    }
    assert_eq!(receiver.connections(), 0);
}
