//! Rules: one for each scope, so many for each tenant, and no crossing slips between a rule and a commit. ALERTS §2.

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure, Update};
use tidemark_domain::RuleBook;
use tidemark_store::{CommitError, Decisions, JobKind, RULES_MAX, RuleError, RulesLane, Slot, Store, Work, Writes};
use tidemark_tests::deployment::{DEADLINE, tables};
use tidemark_tests::{Fault, When, wait_until};

use super::{LANE, Shelf, at, level, level_key, provenance, rule, tenant};

async fn jobs(shelf: &Shelf) -> Vec<JobKind> {
    let mut kinds = Vec::new();
    for slot in Slot::all() {
        for due in shelf.due(slot, None).await {
            if let (Work::Job(id), true) = (&due.work, due.tenant == shelf.tenant) {
                kinds.push(shelf.store.job(&shelf.tenant, id).await.unwrap().expect("a job").kind);
            }
        }
    }
    kinds
}

#[tokio::test]
async fn a_scope_has_one_rule() {
    let shelf = Shelf::new().await;
    let (store, acme) = (&shelf.store, &shelf.tenant);
    let (first, second) = (rule(Some("tea"), "10"), rule(Some("tea"), "5"));
    store.create_rule(acme, &first, at(0)).await.unwrap();
    store.create_rule(acme, &first, at(0)).await.expect("the same again is no error");
    let taken = store.create_rule(acme, &second, at(0)).await;
    assert!(matches!(&taken, Err(RuleError::Exists(id)) if *id == first.id), "{taken:?}");
    store.create_rule(&tenant("rival"), &second, at(0)).await.expect("another tenant's scope is another");
    store.create_rule(acme, &rule(Some("*"), "5"), at(0)).await.expect("an item of that name is not any item");
    let any = rule(None, "5");
    store.create_rule(acme, &any, at(0)).await.unwrap();

    let moved = store.update_rule(acme, &any, second.clone(), at(1)).await;
    assert!(matches!(&moved, Err(RuleError::Exists(id)) if *id == first.id), "{moved:?}");
    store.delete_rule(acme, &first, at(1)).await.unwrap();
    assert!(matches!(store.delete_rule(acme, &first, at(1)).await, Err(RuleError::ConditionFailed)));
    let moved = store.update_rule(acme, &any, second, at(1)).await.expect("the scope is free");
    assert_eq!((&moved.id, moved.version), (&any.id, 2));
    assert_eq!(store.rule(acme, &any.id).await.unwrap(), Some(moved));
    assert!(matches!(store.update_rule(acme, &any, any.clone(), at(2)).await, Err(RuleError::ConditionFailed)), "stale");
    store.create_rule(acme, &rule(None, "5"), at(2)).await.expect("the scope that was left is free");
    assert_eq!(store.rules(acme).await.unwrap().len(), 3);

    let scopes = |item: &str| JobKind::Rules { scope: rule(Some(item), "0").scope };
    let all = jobs(&shelf).await;
    assert_eq!(all.iter().filter(|kind| **kind == scopes("tea")).count(), 1, "made, deleted, moved to: {all:#?}");
}

#[tokio::test]
async fn a_tenant_has_so_many_rules_and_no_more() {
    let shelf = Shelf::new().await;
    let (store, acme) = (&shelf.store, &shelf.tenant);
    let first = rule(Some("first"), "1");
    store.create_rule(acme, &first, at(0)).await.unwrap();
    // As if there were all but one already.
    let count = AttributeValue::N((RULES_MAX - 1).to_string());
    let update = shelf.world.dynamodb().update_item().table_name(tables().data);
    let update = update.key("pk", AttributeValue::S("T#acme#RULES".into())).key("sk", AttributeValue::S("LANE#0".into()));
    let update = update.update_expression("SET #rules = :count").expression_attribute_names("#rules", "rules");
    let update = update.expression_attribute_values(":count", count);
    update.send().await.unwrap();

    let (one, other) = (rule(Some("one"), "1"), rule(Some("other"), "1"));
    let made = tokio::join!(store.create_rule(acme, &one, at(0)), store.create_rule(acme, &other, at(0)));
    let refused: Vec<RuleError> = [made.0.err(), made.1.err()].into_iter().flatten().collect();
    assert!(matches!(refused[..], [RuleError::Quota]), "one of two is the last: {refused:?}");
    assert!(matches!(store.create_rule(acme, &rule(Some("first"), "2"), at(0)).await, Err(RuleError::Exists(_))));
    store.update_rule(acme, &first, first.clone(), at(0)).await.expect("a change is no new rule");
    let first = store.rule(acme, &first.id).await.unwrap().unwrap();
    store.delete_rule(acme, &first, at(0)).await.unwrap();
    store.create_rule(acme, &rule(Some("third"), "1"), at(0)).await.expect("there is room again");
}

/// A commit that decided by the rules of before cannot be made after a rule was written; decided again, it is.
#[tokio::test]
async fn a_rule_written_between_reading_and_committing_makes_the_commit_stale() {
    let shelf = Shelf::new().await;
    let (store, acme) = (&shelf.store, &shelf.tenant);
    let decided = async || shelf.decided("tea", "5").await.0;
    let stale = |ended| matches!(ended, Err(CommitError::DecisionsStale(_)));
    let mut written = rule(Some("tea"), "10");

    let before = decided().await;
    store.create_rule(acme, &written, at(1)).await.unwrap();
    assert!(stale(shelf.send(before).await), "the first rule of all");
    let (_, events) = shelf.commit("tea", "5").await;
    assert_eq!(events.len(), 1, "decided again, it fires");

    let before = decided().await;
    written = store.update_rule(acme, &written, written.clone(), at(2)).await.unwrap();
    assert!(stale(shelf.send(before).await), "a change");

    let before = decided().await;
    store.delete_rule(acme, &written, at(3)).await.unwrap();
    assert!(stale(shelf.send(before).await), "a deletion");

    let before = decided().await;
    store.create_rule(&tenant("rival"), &written, at(4)).await.unwrap();
    shelf.send(before).await.expect("another tenant's rule is none of ours");
}

/// The other order: the commit is first, so the job that the rule brings finds its level; and every lane notices.
#[tokio::test]
async fn a_rule_written_after_a_commit_brings_a_job_that_sees_it() {
    let shelf = Shelf::new().await;
    let (store, acme) = (&shelf.store, &shelf.tenant);
    let other = rule(Some("other"), "1");
    store.create_rule(acme, &other, at(0)).await.unwrap();
    let mut checks = Vec::new();
    for shard in 0..20 {
        let lane = RulesLane::of(&format!("shardId-{shard:04}"));
        checks.push(store.rule_book(acme, lane).await.unwrap().1);
    }
    checks.sort();
    checks.dedup();
    assert_eq!(checks.len(), 8, "twenty shards use all lanes");
    shelf.commit("tea", "5").await;
    let written = rule(Some("tea"), "10");
    store.create_rule(acme, &written, at(0)).await.unwrap();

    let (decided, _) = shelf.decided("mug", "1").await;
    for check in checks {
        let by_the_old = Decisions { checks: vec![check.clone()], ..decided.clone() };
        assert!(matches!(shelf.send(by_the_old).await, Err(CommitError::DecisionsStale(_))), "{check:?}");
    }
    assert!(jobs(&shelf).await.contains(&JobKind::Rules { scope: written.scope.clone() }));
    let (book, _): (RuleBook, _) = store.rule_book(acme, RulesLane::of("job")).await.unwrap();
    let row = store.level(acme, &level_key("tea")).await.unwrap().expect("the level is there for the job");
    assert_eq!(book.applying(&level_key("tea"), &row.level).and_then(|applied| applied.rule), Some(written.id));
    assert!(book.applying(&level_key("mug"), &level("1")).is_none());
}

/// Whichever of a book's two reads a rule's write comes between: either the book has the rule, or its check fails.
#[tokio::test]
async fn a_rule_written_while_the_book_is_read_is_in_it_or_makes_it_stale() {
    let shelf = Shelf::new().await;
    let front = shelf.world.front();
    let reader = Store::new(&shelf.world.config(), tables());
    let mut stale = 0;
    for (index, call) in ["GetItem", "Query"].into_iter().enumerate() {
        let (decided, _) = shelf.decided(&format!("item-{index}"), "5").await;
        let arrived = front.calls(call);
        front.fault(call, When::Next(1), Fault::Delay(Duration::from_millis(500)));
        let written = rule(Some(call), "10");
        let write = async {
            wait_until("the read to be under way", DEADLINE, async || front.calls(call) > arrived).await;
            shelf.store.create_rule(&shelf.tenant, &written, at(0)).await.unwrap();
        };
        let (read, ()) = tokio::join!(reader.rule_book(&shelf.tenant, RulesLane::of(LANE)), write);
        let (book, check) = read.unwrap();
        match shelf.send(Decisions { checks: vec![check], ..decided }).await {
            Ok(()) => assert!(book.contains(&written.id), "{call}: a commit by a book that lacks the rule"),
            Err(CommitError::DecisionsStale(_)) => stale += 1,
            Err(other) => panic!("{call}: {other}"),
        }
    }
    assert_eq!(stale, 1, "the lane is read first");
}

#[tokio::test]
async fn a_rule_whose_answer_is_lost_or_that_meets_commits_is_written_once() {
    let shelf = Shelf::new().await;
    let front = shelf.world.front();
    let store = Store::new(&shelf.world.config(), tables());
    front.fault("TransactWriteItems", When::Next(3), Fault::TransactionConflict);
    store.create_rule(&shelf.tenant, &rule(Some("tea"), "10"), at(0)).await.unwrap();
    front.fault("TransactWriteItems", When::Next(1), Fault::CommitThenDrop);
    let lost = rule(Some("mug"), "10");
    store.create_rule(&shelf.tenant, &lost, at(0)).await.unwrap();
    assert_eq!(jobs(&shelf).await.len(), 2, "a job for each");
    assert_eq!(shelf.store.rules(&shelf.tenant).await.unwrap().len(), 2);
    assert_eq!(front.faults("TransactWriteItems"), 4);
}

#[tokio::test]
async fn a_lost_lease_outweighs_stale_decisions() {
    let shelf = Shelf::new().await;
    let (decisions, _) = shelf.decided("tea", "5").await;
    shelf.send(decisions.clone()).await.unwrap();
    let fence = Update::builder()
        .table_name(tables().data)
        .key("pk", AttributeValue::S("fence".into()))
        .key("sk", AttributeValue::S("fence".into()))
        .update_expression("SET pos = :to")
        .condition_expression("epoch = :mine")
        .expression_attribute_values(":to", AttributeValue::N("2".into()))
        .expression_attribute_values(":mine", AttributeValue::N("1".into()))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    let writes = Writes { decisions, ..Writes::default() };
    assert_eq!(writes.items(), 3, "the fence, the check, the level");
    let ended = shelf.store.commit(vec![fence.build().unwrap()], &writes, &provenance()).await;
    assert!(matches!(ended, Err(CommitError::Fenced(_))), "{ended:?}");
}

#[tokio::test]
async fn a_rule_is_written_though_it_meets_commits_of_its_tenant_forty_times() {
    let shelf = Shelf::new().await;
    let store = Store::new(&shelf.world.config(), tables());
    shelf.world.front().fault("TransactWriteItems", When::Next(40), Fault::TransactionConflict);
    let rule = rule(Some("tea"), "10");
    store.create_rule(&shelf.tenant, &rule, at(0)).await.expect("written");
    assert_eq!(store.rule(&shelf.tenant, &rule.id).await.unwrap(), Some(rule));
}
