//! A shop's changes to its orders, written to the table at a rate.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::lab::ORDERS;
use crate::orders::{Change, Orders};

/// Writes at the same time. The changes of one order are of one lane, where each waits for the one before it.
const LANES: usize = 16;
/// Changes that wait in each lane. When a lane is full, the load waits for it, and the achieved rate falls.
const WAITING: usize = 4;
/// How often changes are handed out.
const STEP: Duration = Duration::from_millis(5);

/// The shop's orders, which both the load and the probes change.
pub(super) type Shared = Arc<Mutex<Orders>>;

/// Draws a change from the shared orders, or reads their totals.
pub(super) fn with<T>(orders: &Shared, ask: impl FnOnce(&mut Orders) -> T) -> T {
    ask(&mut orders.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Writes changes for some time. How many a second were written.
///
/// # Errors
/// When a write fails.
pub(super) async fn write(client: &Client, orders: &Shared, per_second: u32, span: Duration) -> anyhow::Result<f64> {
    let mut writers = JoinSet::new();
    let lanes: Vec<mpsc::Sender<Change>> = (0..LANES)
        .map(|_| {
            let (lane, changes) = mpsc::channel(WAITING);
            writers.spawn(write_lane(client.clone(), changes));
            lane
        })
        .collect();
    let (begin, mut written) = (Instant::now(), 0);
    while begin.elapsed() < span {
        let due = (begin.elapsed().as_secs_f64() * f64::from(per_second)) as usize + 1;
        while written < due && begin.elapsed() < span {
            let change = with(orders, Orders::change);
            // A lane is closed only by a write that failed, which is the error below.
            if lanes[change.id() % LANES].send(change).await.is_err() {
                break;
            }
            written += 1;
        }
        sleep(STEP).await;
    }
    drop(lanes);
    while let Some(writer) = writers.join_next().await {
        writer??;
    }
    Ok(written as f64 / begin.elapsed().as_secs_f64())
}

async fn write_lane(client: Client, mut changes: mpsc::Receiver<Change>) -> anyhow::Result<()> {
    while let Some(change) = changes.recv().await {
        change.carry_out(&client, ORDERS).await?;
    }
    Ok(())
}
