//! What is claimed by an idempotency key is done once, whoever dies or dawdles when.

use jiff::SignedDuration;
use tidemark_store::{Claim, Claiming, KEPT, LEASE, Once, Released, RuleError};

use super::*;

const A_MILLISECOND: SignedDuration = SignedDuration::from_millis(1);

impl Shelf {
    fn once(&self) -> Once<'_> {
        Once { tenant: Some(&self.tenant), key: "key", meaning: "meaning" }
    }

    async fn claimed(&self, at: Timestamp) -> Claim {
        match self.store.claim_once(self.once(), at).await.unwrap() {
            Claiming::Claimed(claim) => claim,
            other => panic!("{other:?}"),
        }
    }

    async fn make(&self, item: &str, claim: &Claim) -> Result<(), RuleError> {
        let settled = claim.settled(format!("made {item}"));
        self.store.create_rule_once(&self.tenant, &rule(Some(item), "1"), at(0), Some(&settled)).await
    }

    async fn made(&self) -> Vec<Option<String>> {
        self.store.rules(&self.tenant).await.unwrap().into_iter().map(|rule| rule.scope.item).collect()
    }
}

#[tokio::test]
async fn an_answer_is_there_exactly_if_its_effect_is_and_for_a_day() {
    let shelf = Shelf::new().await;
    let (start, store) = (at(0), &shelf.store);
    let claim = shelf.claimed(start).await;
    assert_eq!(store.claim_once(shelf.once(), start).await.unwrap(), Claiming::UnderWay);
    shelf.make("tea", &claim).await.unwrap();
    let end = start + KEPT;
    assert_eq!(
        store.claim_once(shelf.once(), end - SignedDuration::from_secs(1)).await.unwrap(),
        Claiming::Done("made tea".into())
    );
    let other = Once { meaning: "another", ..shelf.once() };
    assert_eq!(store.claim_once(other, start).await.unwrap(), Claiming::Mismatch);
    let theirs = tenant("rival");
    for elsewhere in [Once { tenant: Some(&theirs), ..shelf.once() }, Once { tenant: None, ..shelf.once() }] {
        assert!(matches!(store.claim_once(elsewhere, start).await.unwrap(), Claiming::Claimed(_)));
    }
    assert!(matches!(store.claim_once(other, end).await.unwrap(), Claiming::Claimed(_)), "after a day it is another key");
}

#[tokio::test]
async fn a_holder_that_died_before_the_effect_is_followed_after_its_lease() {
    let shelf = Shelf::new().await;
    let _dead = shelf.claimed(at(0)).await;
    let early = at(0) + LEASE - A_MILLISECOND;
    assert_eq!(shelf.store.claim_once(shelf.once(), early).await.unwrap(), Claiming::UnderWay);
    let other = Once { meaning: "another", ..shelf.once() };
    assert_eq!(shelf.store.claim_once(other, at(0) + LEASE).await.unwrap(), Claiming::Mismatch, "that may yet have been done");
    let claim = shelf.claimed(at(0) + LEASE).await;
    shelf.make("tea", &claim).await.unwrap();
    assert_eq!(shelf.made().await, [Some("tea".to_owned())]);
}

#[tokio::test]
async fn a_holder_that_was_only_slow_changes_nothing_any_more() {
    let shelf = Shelf::new().await;
    let slow = shelf.claimed(at(0)).await;
    let second = shelf.claimed(at(0) + LEASE).await;
    assert!(matches!(shelf.make("slow", &slow).await, Err(RuleError::ConditionFailed)));
    assert_eq!(shelf.store.release(&slow).await.unwrap(), Released::TakenOver);
    shelf.make("tea", &second).await.unwrap();
    assert!(matches!(shelf.make("slow", &slow).await, Err(RuleError::ConditionFailed)));
    assert_eq!(shelf.made().await, [Some("tea".to_owned())]);
}

#[tokio::test]
async fn a_claim_given_back_is_free_unless_the_effect_is_there() {
    let shelf = Shelf::new().await;
    let late = shelf.claimed(at(0)).await;
    assert_eq!(shelf.store.release(&late).await.unwrap(), Released::Free);
    assert_eq!(shelf.store.release(&late).await.unwrap(), Released::Free, "the first answer may have been lost");
    assert!(matches!(shelf.make("late", &late).await, Err(RuleError::ConditionFailed)), "its transaction comes too late");
    let claim = shelf.claimed(at(1)).await;
    shelf.make("tea", &claim).await.unwrap();
    assert_eq!(shelf.store.release(&claim).await.unwrap(), Released::Done("made tea".into()));
    assert_eq!(shelf.made().await, [Some("tea".to_owned())]);
}
