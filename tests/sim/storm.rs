//! The last part of a schedule: in calm weather the hostile tenant changes its rules and its stock without a pause, and what the other
//! tenants change becomes visible all the same.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::json;
use tidemark_domain::{Decimal, InventoryName, LevelKey, TenantId};
use tidemark_store::{Store, Tenant};
use tidemark_tests::deployment::tables;
use tokio::time::{Instant, sleep};

use crate::history::{Change, HOSTILE, ZONES, beginning};
use crate::hostile::{Hostile, Hostility};
use crate::plan::Plan;
use crate::schedule::World;

/// From one change of a rule to the next, in ms: 50 a second, half of what one key may ask for.
const RULES_PAUSE_MS: RangeInclusive<u64> = 20..=20;
/// Longest way of a worker's call, and of its answer. A commit reads rules and levels first: from the first of these calls to the last, the
/// rules change several times.
const WAY_MAX: Duration = Duration::from_millis(20);
/// From one change of the hostile tenant's stock to the next. The others' changes are looked for as often.
const STOCK_PAUSE: Duration = Duration::from_millis(50);
/// Its items: so many that most shards have one.
const ITEMS: usize = 8;
/// How often each other tenant changes something.
const ROUNDS: i64 = 3;
/// Longest time until a change is visible, in virtual time. No call fails any more, but shards may still change hands: the lease of a worker
/// that was frozen or killed last ends within 3 s and is taken within 2 s of that; the rest is for deciding again and again.
const VISIBLE_WITHIN: Duration = Duration::from_secs(10);

/// The longest time that a change of another tenant took.
///
/// # Panics
/// When one was not visible within the bound.
pub(crate) async fn pass(world: &mut World, plan: &Plan) -> Duration {
    let store = Store::new(&world.wire.config(), tables());
    let hostility = Hostility { pause_ms: RULES_PAUSE_MS, ..plan.hostility };
    let hostile = Hostile::start_beside(world, plan.seed ^ 1, &hostility);
    world.network.calm(WAY_MAX);
    let (mut turn, mut slowest) = (0, Duration::ZERO);
    for round in 1..=ROUNDS {
        change_stock(world, &mut turn).await;
        for tenant in others() {
            world.write(&order(tenant, &witness(tenant), 1_000 + round)).await;
        }
        let written = Instant::now();
        while !all_see(&store, 1_000 + round).await {
            let waited = written.elapsed();
            assert!(
                waited < VISIBLE_WITHIN,
                "changes of {:?} are not visible {waited:?} after they were written, while {HOSTILE} has done {} things",
                others().collect::<Vec<_>>(),
                hostile.done()
            );
            sleep(STOCK_PAUSE).await;
            change_stock(world, &mut turn).await;
        }
        slowest = slowest.max(written.elapsed());
    }
    hostile.end();
    slowest
}

fn others() -> impl Iterator<Item = &'static str> {
    ZONES.into_iter().map(|(tenant, _)| tenant).filter(|tenant| *tenant != HOSTILE)
}

fn witness(tenant: &str) -> String {
    format!("witness-{tenant}")
}

/// The hostile tenant changes one item after the other.
async fn change_stock(world: &mut World, turn: &mut usize) {
    *turn += 1;
    let quantity = i64::try_from(*turn % 700).expect("a small number");
    world.write(&order(HOSTILE, &format!("hostile-{}", *turn % ITEMS), quantity)).await;
}

fn order(tenant: &str, id: &str, quantity: i64) -> Change {
    Change::Put(json!({
        "id": {"S": id}, "tenant_id": {"S": tenant}, "order_date": {"S": beginning().to_string()}, "item_number": {"S": "tea"},
        "quantity": {"N": quantity.to_string()}, "unit_price": {"N": "2"},
    }))
}

/// Whether each other tenant's stock is as it was last written.
async fn all_see(store: &Store, quantity: i64) -> bool {
    for tenant in others() {
        let id = TenantId::new(tenant).unwrap();
        let inventory = InventoryName::new("stock").unwrap();
        let key = LevelKey { tenant: id.clone(), inventory, item: witness(tenant), location: "depot".to_owned() };
        let row = store.level(&Tenant::named_by_operator(id), &key).await.unwrap();
        if row.is_none_or(|row| row.level.on_hand != Decimal::from(quantity)) {
            return false;
        }
    }
    true
}
