//! When alerts fire, and what ends them.

mod acts;
mod histories;
mod scripts;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::level::Level;
use crate::rule::{RepeatEvery, Rule, RuleBook, Scope, Thresholds};

/// The row of `tea` in `berlin`, its tenant's rules, and what a worker and the API do to them.
struct Row {
    key: LevelKey,
    level: Option<Level>,
    rules: Vec<Rule>,
    standing: Standing,
    now: Timestamp,
    /// How many alerts have fired.
    minted: u32,
    /// The alert that fired last, as it was last written.
    last: Option<Alert>,
}

impl Row {
    fn new() -> Self {
        Self {
            key: LevelKey {
                tenant: crate::TenantId::new("acme").expect("an id"),
                inventory: crate::InventoryName::new("stock").expect("a name"),
                item: "tea".to_owned(),
                location: "berlin".to_owned(),
            },
            level: None,
            rules: Vec::new(),
            standing: Standing::Clear,
            now: "2026-03-28T10:00:00Z".parse().expect("an instant"),
            minted: 0,
            last: None,
        }
    }

    /// Follows the level and the rules as they are now, twice: the second time must find nothing to do.
    fn step(&mut self) -> Vec<AlertEvent> {
        let book = RuleBook::new(self.rules.clone());
        let facts = Facts { key: &self.key, level: self.level.as_ref(), book: &book, at: self.now };
        let minted = &mut self.minted;
        let mut mint = |_| {
            *minted += 1;
            alert_id(*minted)
        };
        let (standing, events) = step(std::mem::take(&mut self.standing), &facts, &mut mint);
        let again = step(standing.clone(), &facts, &mut |_| panic!("fired twice for one change"));
        assert_eq!(again, (standing.clone(), Vec::new()), "the same facts again");
        self.write(standing, events.last());
        events
    }

    /// Does something to the last alert. `None`: there was nothing to do.
    fn act(&mut self, act: &Act) -> Result<Option<Acted>, Error> {
        let alert = self.last.clone().expect("an alert has fired");
        let acted = act.apply(&alert, self.level.as_ref(), self.now)?;
        if let Some(acted) = &acted {
            let again = act.apply(&acted.alert, self.level.as_ref(), self.now);
            assert_eq!(again, Ok(None), "the same act again");
            self.last = Some(acted.alert.clone());
            self.write(acted.standing(), acted.event.as_ref());
        }
        Ok(acted)
    }

    fn write(&mut self, standing: Standing, event: Option<&AlertEvent>) {
        let told = event.map(|event| &event.alert);
        match &standing {
            Standing::Firing(alert) => {
                assert!(told.is_none_or(|told| told == alert), "the event tells the alert as it is stored");
                self.last = Some(alert.clone());
            }
            Standing::Clear | Standing::Latched(_) => self.last = told.cloned().or(self.last.take()),
        }
        self.standing = standing;
    }

    /// Everything stored is read again, as another process would.
    fn restart(&mut self) {
        self.standing = read_again(&self.standing);
        self.last = read_again(&self.last);
        self.rules = read_again(&self.rules);
        self.level = read_again(&self.level);
    }

    fn put_rule(&mut self, rule: Rule) {
        self.rules.retain(|other| other.id != rule.id);
        self.rules.push(rule);
    }
}

fn read_again<T: serde::Serialize + serde::de::DeserializeOwned>(stored: &T) -> T {
    let text = serde_json::to_string(stored).expect("plain data");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn alert_id(number: u32) -> AlertId {
    AlertId::from_ulid_text(&format!("{number:026}")).expect("a ULID")
}

/// The id that ends with this.
fn rule_id(end: &str) -> RuleId {
    RuleId::from_ulid_text(&format!("{end:0>26}")).expect("a ULID")
}

fn decimal(text: &str) -> Decimal {
    text.parse().expect("a decimal")
}

fn level(available: &str, reorder_point: Option<&str>) -> Level {
    // Something is committed and something is on its way, so that nothing but what is available can give the expected answers.
    let committed = decimal("3.5");
    let mut on_hand = decimal(available);
    on_hand += &committed;
    Level { on_hand, committed, incoming: decimal("1000"), reorder_point: reorder_point.map(decimal) }
}

fn rule(id: &str, scope: (Option<&str>, Option<&str>), thresholds: Thresholds, repeat_every: Option<SignedDuration>) -> Rule {
    Rule {
        id: rule_id(id),
        name: Some(format!("rule {id}")),
        scope: Scope {
            inventory: crate::InventoryName::new("stock").expect("a name"),
            item: scope.0.map(str::to_owned),
            location: scope.1.map(str::to_owned),
        },
        thresholds,
        repeat_every: repeat_every.map(|every| RepeatEvery::new(every).expect("long enough")),
        enabled: true,
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
        version: 1,
    }
}
