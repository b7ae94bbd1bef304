//! How a level's alert follows the level and the rules: one step of the state machine.

use jiff::Timestamp;

use super::{Alert, AlertEvent, AlertState, EventKind, Latch, Reason, Standing};
use crate::decimal::Decimal;
use crate::id::AlertId;
use crate::level::{Level, LevelKey};
use crate::rule::{Applied, RuleBook};

/// What a step is decided by.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub key: &'a LevelKey,
    /// The level as it is from now on; `None`: its item is gone.
    pub level: Option<&'a Level>,
    /// The rules as they are from now on.
    pub book: &'a RuleBook,
    /// When that came to be.
    pub at: Timestamp,
}

/// Where a level stands after a change of it or of the rules, and what is to be announced, in order.
///
/// The same facts again change nothing, so a rule's job and a commit may both take a step for one change. `mint` gives the id of an
/// alert that fires at an instant; it is called at most once.
pub fn step(standing: Standing, facts: &Facts<'_>, mint: &mut dyn FnMut(Timestamp) -> AlertId) -> (Standing, Vec<AlertEvent>) {
    let Some(level) = facts.level else {
        let events = match standing {
            Standing::Firing(mut alert) => vec![alert.resolve(Reason::ItemDeleted, None, facts.at)],
            Standing::Clear | Standing::Latched(_) => Vec::new(),
        };
        return (Standing::Clear, events);
    };
    let available = level.available();
    let applied = facts.book.applying(facts.key, level);
    match standing {
        Standing::Clear => fire(facts.key, applied, &available, facts.at, mint),
        Standing::Latched(latch) => (follow(latch, applied, &available), Vec::new()),
        Standing::Firing(alert) => match applied {
            Some(applied) if applied.rule == alert.rule.rule => judge(alert, applied, &available, facts.at),
            other => replace(alert, other, level, facts, mint),
        },
    }
}

/// A row without an alert: an episode begins if it is low.
fn fire(
    key: &LevelKey,
    applied: Option<Applied>,
    available: &Decimal,
    at: Timestamp,
    mint: &mut dyn FnMut(Timestamp) -> AlertId,
) -> (Standing, Vec<AlertEvent>) {
    let judged = applied.and_then(|rule| rule.thresholds.judge(available, None).map(|severity| (rule, severity)));
    let Some((rule, severity)) = judged else {
        return (Standing::Clear, Vec::new());
    };
    let mut alert = Alert {
        id: mint(at),
        key: key.clone(),
        rule,
        severity,
        state: AlertState::Firing,
        available: available.clone(),
        fired_at: at,
        sequence: 0,
        event_at: at,
        acknowledged: None,
        muted: None,
        actions: Vec::new(),
        updated_at: at,
    };
    let fired = alert.announce(EventKind::Fired);
    (Standing::Firing(alert), vec![fired])
}

/// A firing alert whose rule still applies, perhaps with other thresholds.
fn judge(mut alert: Alert, applied: Applied, available: &Decimal, at: Timestamp) -> (Standing, Vec<AlertEvent>) {
    let Some(severity) = applied.thresholds.judge(available, Some(alert.severity)) else {
        let by_the_old = alert.rule.thresholds.judge(available, Some(alert.severity));
        let reason = if by_the_old.is_none() { Reason::Recovered } else { Reason::RuleChanged };
        // The thresholds that decided are the new ones.
        alert.rule = applied;
        return (Standing::Clear, vec![alert.resolve(reason, Some(available), at)]);
    };
    let was = std::mem::replace(&mut alert.severity, severity);
    if was == severity && alert.rule == applied {
        return (Standing::Firing(alert), Vec::new());
    }
    alert.rule = applied;
    alert.touch(Some(available), at);
    let mut events = Vec::new();
    // A fall is silent: what was announced is still going on. A later rise is announced again.
    if severity > was {
        alert.acknowledged = None;
        events.push(alert.announce(EventKind::Escalated));
    }
    (Standing::Firing(alert), events)
}

/// A firing alert whose rule applies no more: it ends, and by what applies instead, if anything, another may begin.
fn replace(
    mut alert: Alert,
    applied: Option<Applied>,
    level: &Level,
    facts: &Facts<'_>,
    mint: &mut dyn FnMut(Timestamp) -> AlertId,
) -> (Standing, Vec<AlertEvent>) {
    let is_still_there = match &alert.rule.rule {
        Some(rule) => facts.book.contains(rule),
        None => level.reorder_point.is_some(),
    };
    let reason = if is_still_there { Reason::RuleChanged } else { Reason::RuleDeleted };
    let available = level.available();
    let mut events = vec![alert.resolve(reason, Some(&available), facts.at)];
    // Not before the old one ended, by whatever clock that was.
    let (standing, fired) = fire(facts.key, applied, &available, alert.event_at, mint);
    events.extend(fired);
    (standing, events)
}

/// A row resolved by hand: judged as if its alert still fired, until it clears. What clears it does not fire it, too.
fn follow(latch: Latch, applied: Option<Applied>, available: &Decimal) -> Standing {
    let judged = applied.and_then(|applied| {
        let current = (applied.rule == latch.rule).then_some(latch.severity);
        let severity = applied.thresholds.judge(available, current)?;
        Some((applied.rule, severity))
    });
    match judged {
        Some((rule, severity)) => Standing::Latched(Latch { alert: latch.alert, rule, severity }),
        None => Standing::Clear,
    }
}
