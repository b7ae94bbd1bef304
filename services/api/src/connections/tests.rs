//! Which connection is closed, by a stopped clock. What a socket sees of it is in `tests/it/api/connections.rs`.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

const SMALL: ConnectionLimits = ConnectionLimits {
    connections_max: 6,
    peer_max: 3,
    unsent_max: 4,
    first_head_max: Duration::from_secs(20),
    idle_max: Duration::from_secs(75),
    age_max: Duration::from_secs(3600),
    send_max: Duration::from_secs(60),
    sweep_every: Duration::from_secs(1),
};

fn peer(number: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, number).into()
}

fn is_closed(connection: &Connection) -> bool {
    connection.signals.close.is_cancelled()
}

async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_at_its_limit_closes_its_own_oldest_silent_connection() {
    let connections = Connections::new(SMALL);
    let others = connections.open(peer(2)).expect("room");
    let mut held = Vec::new();
    for _ in 0..SMALL.peer_max {
        held.push(connections.open(peer(1)).expect("room"));
        pass(1).await;
    }
    drop(held[0].begin());
    pass(1).await;
    held.push(connections.open(peer(1)).expect("room is made"));
    assert_eq!(held.iter().map(is_closed).collect::<Vec<_>>(), [false, true, false, false], "the one that was used is kept");
    assert!(!is_closed(&others), "another peer's is left alone");
}

#[tokio::test(start_paused = true)]
async fn silent_connections_are_closed_before_idle_ones_and_busy_ones_never() {
    let connections = Connections::new(SMALL);
    let busy: Vec<_> = (1..=3).map(|number| connections.open(peer(number)).expect("room")).collect();
    let exchanges: Vec<_> = busy.iter().map(Connection::begin).collect();
    let idle = connections.open(peer(4)).expect("room");
    drop(idle.begin());
    pass(10).await;
    let silent = [5, 6].map(|number| connections.open(peer(number)).expect("room"));
    let newer = [7, 8, 9].map(|number| connections.open(peer(number)).expect("room is made"));
    assert!(silent.iter().all(is_closed), "both silent ones first");
    assert!(!is_closed(&idle), "then the silent one that came last but one");
    assert_eq!(newer.each_ref().map(is_closed), [true, false, false]);
    let held: Vec<_> = newer[1..].iter().map(Connection::begin).collect();
    let last = connections.open(peer(10)).expect("the idle one makes room");
    assert!(is_closed(&idle));
    let _last = last.begin();
    assert!(connections.open(peer(11)).is_none(), "all are busy");
    assert!(!busy.iter().any(is_closed));
    drop((exchanges, held));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_sends_no_head_in_time_is_closed() {
    let connections = Connections::new(SMALL);
    let silent = connections.open(peer(1)).expect("room");
    let spoke = connections.open(peer(1)).expect("room");
    let _exchange = spoke.begin();
    pass(19).await;
    connections.sweep();
    assert!(!is_closed(&silent));
    pass(1).await;
    connections.sweep();
    assert!(is_closed(&silent) && !is_closed(&spoke));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_asked_to_finish_and_then_closed() {
    let connections = Connections::new(SMALL);
    let idle = connections.open(peer(1)).expect("room");
    drop(idle.begin());
    pass(74).await;
    connections.sweep();
    assert!(!idle.signals.finish.is_cancelled());
    drop(idle.begin());
    pass(75).await;
    connections.sweep();
    assert!(idle.signals.finish.is_cancelled() && !is_closed(&idle));
    pass(FINISH_MAX.as_secs()).await;
    connections.sweep();
    assert!(is_closed(&idle), "it did not finish");
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_finishes_with_its_next_request() {
    let connections = Connections::new(SMALL);
    let old = connections.open(peer(1)).expect("room");
    for _ in 0..61 {
        drop(old.begin());
        pass(59).await;
        connections.sweep();
        assert!(!old.signals.finish.is_cancelled());
    }
    pass(1).await;
    connections.sweep();
    assert!(!old.signals.finish.is_cancelled(), "not between requests: one may be on its way");
    let _exchange = old.begin();
    assert!(old.signals.finish.is_cancelled() && !is_closed(&old));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_read_closes_its_connection() {
    let connections = Connections::new(SMALL);
    let (slow, quick) = (connections.open(peer(1)).expect("room"), connections.open(peer(1)).expect("room"));
    let unread = slow.begin();
    unread.answered();
    for _ in 0..60 {
        connections.sweep();
        assert!(!is_closed(&slow));
        quick.begin().answered();
        pass(1).await;
    }
    connections.sweep();
    assert!(is_closed(&slow) && !is_closed(&quick));
}

#[tokio::test(start_paused = true)]
async fn too_many_unsent_answers_close_a_connection_of_the_peer_that_leaves_most_of_them() {
    let connections = Connections::new(SMALL);
    let honest = connections.open(peer(1)).expect("room");
    let download = honest.begin();
    download.answered();
    pass(10).await;
    let unread = [2, 2].map(|number| connections.open(peer(number)).expect("room"));
    let mut exchanges = Vec::new();
    for connection in [&unread[0], &unread[1], &unread[1]] {
        let exchange = connection.begin();
        exchange.answered();
        exchanges.push(exchange);
        pass(1).await;
    }
    let other = connections.open(peer(3)).expect("room");
    let one_more = other.begin();
    one_more.answered();
    assert!(!is_closed(&honest), "the oldest answer is an honest reader's");
    assert_eq!(unread.each_ref().map(is_closed), [false, true], "of its connections the one with most");
}

#[tokio::test(start_paused = true)]
async fn a_slow_readers_connection_takes_no_more_requests_before_it_is_closed() {
    let connections = Connections::new(SMALL);
    let slow = connections.open(peer(1)).expect("room");
    let exchange = slow.begin();
    exchange.answered();
    pass(30).await;
    connections.sweep();
    assert!(slow.signals.finish.is_cancelled() && !is_closed(&slow));
    drop(exchange);
}

#[tokio::test(start_paused = true)]
async fn short_memory_closes_a_slow_reader_and_nothing_else() {
    let connections = Connections::new(SMALL);
    let slow = connections.open(peer(1)).expect("room");
    let exchange = slow.begin();
    connections.close_slowest();
    assert!(!is_closed(&slow), "its answer is not made yet");
    exchange.answered();
    connections.close_slowest();
    assert!(!is_closed(&slow), "it has only just been made");
    pass(5).await;
    connections.close_slowest();
    assert!(is_closed(&slow));
}

#[tokio::test(start_paused = true)]
async fn at_the_end_silent_connections_are_not_waited_for() {
    let connections = Connections::new(SMALL);
    let (silent, idle) = (connections.open(peer(1)).expect("room"), connections.open(peer(1)).expect("room"));
    drop(idle.begin());
    connections.close_silent();
    assert!(is_closed(&silent) && !is_closed(&idle));
}

#[test]
fn a_peer_is_an_address_or_a_network_of_ipv6() {
    let peer = |text: &str| Peer::of(text.parse().expect("an address"));
    assert_eq!(peer("::ffff:192.0.2.1"), peer("192.0.2.1"));
    assert_ne!(peer("192.0.2.2"), peer("192.0.2.1"));
    assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:1"));
    assert_ne!(peer("2001:db8:0:1::1"), peer("2001:db8::1"));
}

#[derive(Debug, Clone)]
enum Act {
    Open(u8),
    Close(usize),
    Begin(usize),
    Answer(usize),
    End(usize),
    Pass(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (1_u8..4).prop_map(Act::Open),
        1 => (0_usize..8).prop_map(Act::Close),
        3 => (0_usize..8).prop_map(Act::Begin),
        3 => (0_usize..8).prop_map(Act::Answer),
        2 => (0_usize..8).prop_map(Act::End),
        1 => (1_u64..40).prop_map(Act::Pass),
    ]
}

proptest! {
    /// Whatever happens in whatever order, the table's parts say the same, and its limits hold.
    #[test]
    fn the_table_counts_what_is_open(acts in prop::collection::vec(act(), 1..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let connections = Connections::new(SMALL);
            let (mut open, mut exchanges): (Vec<Connection>, Vec<Exchange>) = (Vec::new(), Vec::new());
            for act in acts {
                match act {
                    Act::Open(number) => open.extend(connections.open(peer(number))),
                    Act::Close(at) if at < open.len() => drop(open.swap_remove(at)),
                    Act::Begin(at) if at < open.len() => exchanges.push(open[at].begin()),
                    Act::Answer(at) if at < exchanges.len() => exchanges[at].answered(),
                    Act::End(at) if at < exchanges.len() => drop(exchanges.swap_remove(at)),
                    Act::Pass(seconds) => {
                        pass(seconds).await;
                        connections.sweep();
                    }
                    _ => {}
                }
                let state = connections.state();
                let counted: usize = state.of_peer.values().sum();
                assert_eq!(counted, state.open.len());
                assert_eq!(state.open.len(), open.iter().filter(|connection| !is_closed(connection)).count());
                let waiting = state.open.values().filter(|open| open.waits.is_some()).count();
                assert_eq!(waiting, state.waiting.len());
                assert!(state.open.values().all(|open| open.waits.is_some() == (open.exchanges == 0)));
                assert!(state.open.len() <= SMALL.connections_max && state.unsent.len() <= SMALL.unsent_max);
                assert!(state.of_peer.values().all(|count| (1..=SMALL.peer_max).contains(count)));
            }
            drop((open, exchanges));
            let state = connections.state();
            assert!(state.open.is_empty() && state.waiting.is_empty() && state.unsent.is_empty() && state.of_peer.is_empty());
        });
    }
}
