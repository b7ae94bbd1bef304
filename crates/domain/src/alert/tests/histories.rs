//! Random histories of one row, stored and read again anywhere, tell what an oracle finds that looks at the whole history at once.
//!
//! The oracle knows no states. It computes how severe the row was at every look, from the thresholds in force since the same rule
//! began to apply; cuts that into stretches of being low and those into episodes; and reads the events off each.

mod oracle;

use proptest::prelude::*;

use super::*;
use crate::rule::{Severity, Threshold};

/// One thing that happens. Quantities are in halves.
#[derive(Debug, Clone)]
enum Happening {
    Level {
        available: i64,
        reorder_point: Option<i64>,
    },
    Gone,
    /// Rule `n` of [`SCOPES`] is made, or edited if it is there.
    Rule {
        n: usize,
        thresholds: Thresholds,
        repeats: bool,
    },
    Enable {
        n: usize,
        enabled: bool,
    },
    Delete {
        n: usize,
    },
    Acknowledge,
    Resolve,
    Repeat,
}

/// What happens, whether a job or a commit looks at the row then, and whether what is stored is read again before.
type Moment = (Happening, bool, bool);

const SCOPES: [(Option<&str>, Option<&str>); 4] =
    [(Some("tea"), Some("berlin")), (Some("tea"), None), (None, Some("berlin")), (None, None)];
const TICK: SignedDuration = SignedDuration::from_mins(10);

/// What is told, in a form the oracle can make, too.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    kind: EventKind,
    /// Of its episode.
    sequence: u32,
    at: Timestamp,
    severity: Severity,
    /// `None` where the item is gone: the alert then keeps what it was last written with.
    available: Option<Decimal>,
    reason: Option<&'static str>,
}

impl Told {
    fn of(event: &AlertEvent) -> Self {
        let reason = match &event.alert.state {
            AlertState::Firing => None,
            AlertState::Resolved { reason, .. } => Some(reason.as_str()),
        };
        let AlertEvent { kind, sequence, at, ref alert } = *event;
        let available = (reason != Some("item_deleted")).then(|| alert.available.clone());
        Self { kind, sequence, at, severity: alert.severity, available, reason }
    }
}

fn halves(n: i64) -> Decimal {
    Decimal::from(n).times(&decimal("0.5"))
}

fn thresholds() -> impl Strategy<Value = Thresholds> {
    let threshold = |severity, fires: i64, clears: i64| Threshold {
        severity,
        fires_at_or_below: halves(fires),
        clears_above: halves(clears),
    };
    ((-4_i64..6, 0_i64..4), (0_i64..5, 0_i64..5), 0_u8..4).prop_map(move |((fires, band), (lower, lower_clear), which)| {
        let clears = fires + band;
        let critical_fires = fires - lower;
        let warning = threshold(Severity::Warning, fires, clears);
        let critical = threshold(Severity::Critical, critical_fires, (clears - lower_clear).max(critical_fires));
        let given = match which {
            0 => vec![warning],
            1 => vec![critical],
            _ => vec![warning, critical],
        };
        Thresholds::new(given).expect("in order")
    })
}

fn happening() -> impl Strategy<Value = Happening> {
    let level = (-8_i64..12, prop::option::weighted(0.4, -2_i64..6));
    let n = || 0..SCOPES.len();
    prop_oneof![
        12 => level.prop_map(|(available, reorder_point)| Happening::Level { available, reorder_point }),
        1 => Just(Happening::Gone),
        5 => (n(), thresholds(), any::<bool>()).prop_map(|(n, thresholds, repeats)| Happening::Rule { n, thresholds, repeats }),
        1 => (n(), any::<bool>()).prop_map(|(n, enabled)| Happening::Enable { n, enabled }),
        2 => n().prop_map(|n| Happening::Delete { n }),
        2 => Just(Happening::Acknowledge),
        2 => Just(Happening::Resolve),
        2 => Just(Happening::Repeat),
    ]
}

/// A row whose deleted rules come back under other ids.
struct World {
    row: Row,
    ids: [u32; SCOPES.len()],
}

impl World {
    fn new() -> Self {
        Self { row: Row::new(), ids: [0; SCOPES.len()] }
    }

    fn id(&self, n: usize) -> String {
        (10 * self.ids[n] + u32::try_from(n).expect("few")).to_string()
    }

    /// Changes the level or the rules, or acts on the last alert.
    fn happens(&mut self, happening: &Happening) -> Option<AlertEvent> {
        let act = |act: Act, row: &mut Row| row.last.is_some().then(|| row.act(&act).ok().flatten()).flatten()?.event;
        let by = || "key_1".to_owned();
        match happening {
            Happening::Level { available, reorder_point } => {
                let point = reorder_point.map(|point| halves(point).to_string());
                self.row.level = Some(level(&halves(*available).to_string(), point.as_deref()));
            }
            Happening::Gone => self.row.level = None,
            Happening::Rule { n, thresholds, repeats } => {
                let made = rule(&self.id(*n), SCOPES[*n], thresholds.clone(), repeats.then_some(2 * TICK));
                self.row.put_rule(made);
            }
            Happening::Enable { n, enabled } => {
                let id = rule_id(&self.id(*n));
                self.row.rules.iter_mut().filter(|rule| rule.id == id).for_each(|rule| rule.enabled = *enabled);
            }
            Happening::Delete { n } => {
                let id = rule_id(&self.id(*n));
                self.row.rules.retain(|rule| rule.id != id);
                self.ids[*n] += 1;
            }
            Happening::Acknowledge => return act(Act::Acknowledge { by: by(), note: None }, &mut self.row),
            Happening::Resolve => return act(Act::Resolve { by: by(), note: None }, &mut self.row),
            Happening::Repeat => return act(Act::Repeat, &mut self.row),
        }
        None
    }

    /// Plays a history. Gives what was told, by episode, and what the oracle may look at.
    fn plays(&mut self, history: &[Moment]) -> (Vec<Vec<Told>>, Vec<oracle::Entry>) {
        let (mut told, mut entries): (Vec<Vec<Told>>, Vec<oracle::Entry>) = Default::default();
        for (happening, is_looked_at, is_restarted) in history {
            self.row.now += TICK;
            if *is_restarted {
                self.row.restart();
            }
            let mut events: Vec<AlertEvent> = self.happens(happening).into_iter().collect();
            entries.extend(oracle::Entry::of_act(happening, &self.row));
            // An image is always looked at: its commit is what changes the level.
            if *is_looked_at || matches!(happening, Happening::Level { .. } | Happening::Gone) {
                events.extend(self.row.step());
                entries.push(oracle::Entry::of_look(&self.row));
            }
            for event in events {
                let episode: usize = event.alert.id.ulid_text().parse().expect("digits");
                told.resize(told.len().max(episode), Vec::new());
                told[episode - 1].push(Told::of(&event));
            }
        }
        (told, entries)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_crossing_is_told_once_whatever_the_history(
        history in prop::collection::vec((happening(), prop::bool::weighted(0.8), any::<bool>()), 1..60),
    ) {
        let (told, entries) = World::new().plays(&history);
        prop_assert_eq!(told, oracle::episodes(&entries));
    }
}
