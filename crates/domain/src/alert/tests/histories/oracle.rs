//! The events of a whole history, read off how severe the row was at each look.

use super::*;

/// What is known of one moment.
pub(super) struct Entry {
    at: Timestamp,
    what: What,
}

enum What {
    Look(Look),
    Acknowledge,
    Resolve,
    Repeat,
}

/// The row as a commit or a job found it.
struct Look {
    available: Option<Decimal>,
    /// The rule that applies, as the oracle chooses it.
    by: Option<By>,
    rules: Vec<RuleId>,
    has_reorder_point: bool,
}

struct By {
    rule: Option<RuleId>,
    levels: Vec<Threshold>,
    repeat_every: Option<SignedDuration>,
}

impl Entry {
    pub(super) fn of_act(happening: &Happening, row: &Row) -> Option<Self> {
        let what = match happening {
            Happening::Acknowledge => What::Acknowledge,
            Happening::Resolve => What::Resolve,
            Happening::Repeat => What::Repeat,
            _ => return None,
        };
        Some(Self { at: row.now, what })
    }

    pub(super) fn of_look(row: &Row) -> Self {
        let reorder_point = row.level.as_ref().and_then(|level| level.reorder_point.clone());
        let look = Look {
            available: row.level.as_ref().map(Level::available),
            by: row.level.as_ref().and_then(|_| By::of(row, reorder_point.as_ref())),
            rules: row.rules.iter().map(|rule| rule.id.clone()).collect(),
            has_reorder_point: reorder_point.is_some(),
        };
        Self { at: row.now, what: What::Look(look) }
    }
}

impl By {
    /// The enabled rule that says most about where it applies; an item says more than a location.
    fn of(row: &Row, reorder_point: Option<&Decimal>) -> Option<Self> {
        let says = |rule: &&Rule| 2 * u8::from(rule.scope.item.is_some()) + u8::from(rule.scope.location.is_some());
        let rule = row.rules.iter().filter(|rule| rule.enabled).max_by_key(says);
        let of_rule = |rule: &Rule| Self {
            rule: Some(rule.id.clone()),
            levels: rule.thresholds.iter().cloned().collect(),
            repeat_every: rule.repeat_every.map(RepeatEvery::duration),
        };
        let of_point = |point: &Decimal| Self {
            rule: None,
            levels: vec![Threshold {
                severity: Severity::Warning,
                fires_at_or_below: point.clone(),
                clears_above: point.clone(),
            }],
            repeat_every: None,
        };
        rule.map(of_rule).or_else(|| reorder_point.map(of_point))
    }
}

/// The looks of a history by their place in it, and how severe the row was at each.
struct Signal<'a> {
    looks: Vec<(usize, Timestamp, &'a Look)>,
    severities: Vec<Option<Severity>>,
}

impl<'a> Signal<'a> {
    fn of(entries: &'a [Entry]) -> Self {
        let looks = entries.iter().enumerate().filter_map(|(place, entry)| match &entry.what {
            What::Look(look) => Some((place, entry.at, look)),
            _ => None,
        });
        let mut signal = Self { looks: looks.collect(), severities: Vec::new() };
        for look in 0..signal.looks.len() {
            let severity = [Severity::Critical, Severity::Warning].into_iter().find(|severity| signal.is_held(look, *severity));
            signal.severities.push(severity);
        }
        signal
    }

    fn look(&self, look: usize) -> &'a Look {
        self.looks[look].2
    }

    /// Whether the same rule applied at this look and at the one before.
    fn continues(&self, look: usize) -> bool {
        let by = |look: usize| self.look(look).by.as_ref().map(|by| &by.rule);
        look > 0 && by(look).is_some() && by(look) == by(look - 1)
    }

    /// A level is held from where it fires to where it clears, by whatever was at least as bad at the look before.
    fn is_held(&self, look: usize, severity: Severity) -> bool {
        let Look { available: Some(available), by: Some(by), .. } = self.look(look) else { return false };
        let was_as_bad = self.continues(look) && self.severities[look - 1].is_some_and(|was| was >= severity);
        by.levels
            .iter()
            .filter(|level| level.severity == severity)
            .any(|level| *available <= level.fires_at_or_below || (was_as_bad && *available <= level.clears_above))
    }

    /// Why what was low under one rule at a look was over, or under another rule, at the next.
    fn reason(&self, next: usize) -> &'static str {
        let (before, after) = (self.look(next - 1), self.look(next));
        let Some(available) = &after.available else { return "item_deleted" };
        let by = before.by.as_ref().expect("it was low by something");
        if !self.continues(next) {
            let remains = by.rule.as_ref().map_or(after.has_reorder_point, |rule| after.rules.contains(rule));
            return if remains { "rule_changed" } else { "rule_deleted" };
        }
        // What was as severe as this cleared above the highest value up to which any of its levels would have held.
        let held_up_to = by.levels.iter().map(|level| match Some(level.severity) <= self.severities[next - 1] {
            true => &level.clears_above,
            false => &level.fires_at_or_below,
        });
        if held_up_to.max() < Some(available) { "recovered" } else { "rule_changed" }
    }
}

/// What must have been told, by episode.
pub(super) fn episodes(entries: &[Entry]) -> Vec<Vec<Told>> {
    let signal = Signal::of(entries);
    let is_low = |look: &usize| signal.severities[*look].is_some();
    let mut episodes = Vec::new();
    let mut silent_until = 0;
    for first in (0..signal.looks.len()).filter(is_low) {
        let goes_on = first > 0 && is_low(&(first - 1)) && signal.continues(first);
        if goes_on || first < silent_until {
            continue;
        }
        let end = (first + 1..signal.looks.len()).find(|look| !is_low(look) || !signal.continues(*look));
        let last_place = end.map_or(entries.len(), |end| signal.looks[end].0);
        let begun = signal.looks[first].0;
        let by_hand = (begun..last_place).find(|place| matches!(entries[*place].what, What::Resolve));
        if by_hand.is_some() {
            silent_until = (first..signal.looks.len()).find(|look| !is_low(look)).unwrap_or(signal.looks.len());
        }
        episodes.push(events(entries, &signal, (first, end), by_hand));
    }
    episodes
}

/// The events of the episode that begins at a look and ends at another, or by hand at a place of the history, or not yet.
fn events(entries: &[Entry], signal: &Signal<'_>, (first, end): (usize, Option<usize>), by_hand: Option<usize>) -> Vec<Told> {
    let mut told: Vec<Told> = Vec::new();
    let stop = by_hand.or(end.map(|end| signal.looks[end].0)).unwrap_or(entries.len());
    let mut acknowledged = false;
    for (place, Entry { at, what }) in entries.iter().enumerate().take(stop + 1).skip(signal.looks[first].0) {
        // The look that counts now: the last one up to here, but for the end, which is not part of the episode.
        let look = signal.looks.iter().rposition(|(of, ..)| *of <= place).expect("the first look at the least");
        let inside = if Some(look) == end { look - 1 } else { look };
        let severity = signal.severities[inside].expect("low all along");
        let before = told.last().map(|event| (event.severity, event.at));
        let worst_before = (inside > first).then(|| signal.severities[inside - 1]).flatten();
        let by = signal.look(inside).by.as_ref().expect("low by something");
        let (kind, reason) = match what {
            _ if place == stop && by_hand.is_some() => (EventKind::Resolved, Some("manual")),
            _ if place == stop => (EventKind::Resolved, Some(signal.reason(look))),
            What::Look(_) if look == first => (EventKind::Fired, None),
            What::Look(_) if Some(severity) > worst_before => (EventKind::Escalated, None),
            What::Repeat if !acknowledged => match (by.repeat_every, before) {
                (Some(every), Some((_, last))) if last + every <= *at => (EventKind::Repeated, None),
                _ => continue,
            },
            What::Acknowledge => {
                acknowledged = true;
                continue;
            }
            _ => continue,
        };
        acknowledged &= kind != EventKind::Escalated;
        let sequence = u32::try_from(told.len()).expect("few") + 1;
        let available = signal.look(look).available.clone();
        told.push(Told { kind, sequence, at: *at, severity, available, reason });
    }
    told
}
