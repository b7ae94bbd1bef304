//! What operators are told of the shards of a stream.

use std::collections::BTreeMap;

use super::fleet::Fleet;
use super::told::measured;

const SOURCE: &str = "states";

fn shards() -> BTreeMap<String, f64> {
    measured("tidemark_ingest_stream_shards", SOURCE, "state")
}

#[tokio::test(start_paused = true)]
async fn the_metric_of_shards_by_state_follows_a_rotation() {
    let mut fleet = Fleet::of_source(SOURCE, 3).await;
    fleet.start("a").await;
    fleet.balance(3).await;
    let states = |held: f64, done: f64| {
        let states = [("held", held), ("free", 0.0), ("waiting", 0.0), ("done", done), ("lost", 0.0)];
        BTreeMap::from(states.map(|(state, count)| (state.to_owned(), count)))
    };
    assert_eq!(shards(), states(3.0, 0.0));
    let open = fleet.shards().open().await;
    fleet.shards().split(&open[0]).await;
    fleet.balance(4).await;
    assert_eq!(shards(), states(4.0, 1.0));
}
