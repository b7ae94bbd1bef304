//! Short stories of one row: what happens, what is told of it, and how the row then stands.
//!
//! A line is `what happens | events | standing`. An event is `<episode>.<sequence> <kind> <severity or reason>`, and `-` is none.

use super::*;
use crate::rule::{Severity, Threshold};

/// Plays a story, a minute a line, with a restart before each.
fn plays(story: &'static str) {
    let mut row = Row::new();
    for line in story.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let parts: Vec<&str> = line.split('|').map(str::trim).collect();
        let [happens, events, standing] = parts[..] else { panic!("not a line of a story: {line}") };
        row.restart();
        row.now += SignedDuration::from_mins(1);
        let told = happen(&mut row, &happens.split_whitespace().collect::<Vec<_>>());
        assert_eq!((told.as_str(), stands(&row.standing).as_str()), (events, standing), "{line}");
    }
}

fn happen(row: &mut Row, words: &[&'static str]) -> String {
    match words {
        ["gone"] => row.level = None,
        ["level", available] => row.level = Some(level(available, None)),
        ["level", available, "reorder", point] => row.level = Some(level(available, Some(point))),
        ["rule", name, item, location, thresholds @ ..] => {
            let part = |text: &'static str| (text != "*").then_some(text);
            row.put_rule(rule(name, (part(item), part(location)), read(thresholds), None));
        }
        ["delete", name] => row.rules.retain(|rule| rule.id != rule_id(name)),
        ["disable", name] => row.rules.iter_mut().filter(|rule| rule.id == rule_id(name)).for_each(|rule| rule.enabled = false),
        ["wait"] => row.now += SignedDuration::from_hours(1),
        [act] => {
            let by = "key_1".to_owned();
            let act = match *act {
                "acknowledge" => Act::Acknowledge { by, note: None },
                "resolve" => Act::Resolve { by, note: None },
                other => panic!("no act: {other}"),
            };
            return match row.act(&act) {
                Ok(acted) => tell(acted.and_then(|acted| acted.event).as_slice()),
                Err(error) => error.to_string(),
            };
        }
        other => panic!("nothing that happens: {other:?}"),
    }
    tell(&row.step())
}

/// `warning 10 12 critical 0 2`: where each fires, and where it clears.
fn read(words: &[&str]) -> Thresholds {
    let threshold = |words: &[&str]| Threshold {
        severity: if words[0] == "critical" { Severity::Critical } else { Severity::Warning },
        fires_at_or_below: decimal(words[1]),
        clears_above: decimal(words[2]),
    };
    Thresholds::new(words.chunks(3).map(threshold).collect()).expect("thresholds")
}

fn tell(events: &[AlertEvent]) -> String {
    let one = |event: &AlertEvent| {
        let how = match &event.alert.state {
            AlertState::Firing => event.alert.severity.as_str(),
            AlertState::Resolved { reason, .. } => reason.as_str(),
        };
        let episode = event.alert.id.ulid_text().trim_start_matches('0');
        format!("{episode}.{} {} {how}", event.sequence, event.kind.as_str())
    };
    if events.is_empty() { "-".to_owned() } else { events.iter().map(one).collect::<Vec<_>>().join(", ") }
}

fn stands(standing: &Standing) -> String {
    match standing {
        Standing::Clear => "clear".to_owned(),
        Standing::Firing(alert) if alert.acknowledged.is_some() => format!("acknowledged {}", alert.severity),
        Standing::Firing(alert) => format!("firing {}", alert.severity),
        Standing::Latched(latch) => format!("latched {}", latch.severity),
    }
}

#[test]
fn drop_restock_drop_is_fired_resolved_fired() {
    plays(
        "rule A * * warning 10 12 | -                      | clear
         level 11                 | -                      | clear
         level 10                 | 1.1 fired warning      | firing warning
         level 9                  | -                      | firing warning
         level 12.01              | 1.2 resolved recovered | clear
         level 10                 | 2.1 fired warning      | firing warning",
    );
}

#[test]
fn bouncing_inside_the_band_tells_nothing() {
    plays(
        "rule A * * warning 10 12 | -                 | clear
         level 10                 | 1.1 fired warning | firing warning
         level 12                 | -                 | firing warning
         level 10.5               | -                 | firing warning
         level 12                 | -                 | firing warning
         level 13                 | 1.2 resolved recovered | clear
         level 10.5               | -                 | clear
         level 12                 | -                 | clear",
    );
}

#[test]
fn severity_rises_with_an_event_and_falls_without() {
    plays(
        "rule A * * warning 10 12 critical 0 2 | -                      | clear
         level 5                               | 1.1 fired warning      | firing warning
         level 0                               | 1.2 escalated critical | firing critical
         level 2                               | -                      | firing critical
         level 2.5                             | -                      | firing warning
         level 1                               | -                      | firing warning
         level -1                              | 1.3 escalated critical | firing critical
         level 13                              | 1.4 resolved recovered | clear
         level -1                              | 2.1 fired critical     | firing critical
         gone                                  | 2.2 resolved item_deleted | clear",
    );
}

#[test]
fn an_acknowledgement_is_cleared_by_a_rise_alone() {
    plays(
        "rule A * * warning 10 12 critical 0 2 | -                      | clear
         level 10                              | 1.1 fired warning      | firing warning
         acknowledge                           | -                      | acknowledged warning
         level 5                               | -                      | acknowledged warning
         level 0                               | 1.2 escalated critical | firing critical
         acknowledge                           | -                      | acknowledged critical
         level 5                               | -                      | acknowledged warning
         level 13                              | 1.3 resolved recovered | clear
         acknowledge                           | the alert is already resolved | clear
         level 10                              | 2.1 fired warning      | firing warning",
    );
}

#[test]
fn what_was_resolved_by_hand_must_clear_before_it_fires_again() {
    plays(
        "rule A * * warning 10 12 critical 0 2 | -                   | clear
         level 10                              | 1.1 fired warning   | firing warning
         resolve                               | 1.2 resolved manual | latched warning
         resolve                               | -                   | latched warning
         level 12                              | -                   | latched warning
         level 0                               | -                   | latched critical
         rule A * * warning 8 9                | -                   | latched warning
         level 9                               | -                   | latched warning
         level 9.5                             | -                   | clear
         level 8                               | 2.1 fired warning   | firing warning
         resolve                               | 2.2 resolved manual | latched warning
         gone                                  | -                   | clear
         level 8                               | 3.1 fired warning   | firing warning",
    );
}

#[test]
fn another_rule_lifts_a_latch_only_if_there_is_enough_by_it() {
    plays(
        "rule A * * warning 10 12           | -                   | clear
         level 9                            | 1.1 fired warning   | firing warning
         resolve                            | 1.2 resolved manual | latched warning
         rule B tea * warning 9 11          | -                   | latched warning
         level 11                           | -                   | latched warning
         rule C tea berlin warning 10.99 20 | -                   | clear
         delete C                           | -                   | clear
         level 9                            | 2.1 fired warning   | firing warning
         resolve                            | 2.2 resolved manual | latched warning
         delete B                           | -                   | latched warning
         delete A                           | -                   | clear
         rule D * * warning 10 12           | 3.1 fired warning   | firing warning",
    );
}

#[test]
fn a_rule_over_what_is_already_low_fires_at_once() {
    plays(
        "level 3                               | -                  | clear
         rule A * * warning 2 5                | -                  | clear
         rule B tea * warning 10 12 critical 3 4 | 1.1 fired critical | firing critical",
    );
}

#[test]
fn a_rule_that_applies_no_more_ends_its_alert() {
    plays(
        "level 3                       | -                         | clear
         rule A * * warning 10 12      | 1.1 fired warning         | firing warning
         delete A                      | 1.2 resolved rule_deleted | clear
         rule B * * warning 10 12      | 2.1 fired warning         | firing warning
         disable B                     | 2.2 resolved rule_changed | clear
         rule B * * warning 10 12      | 3.1 fired warning         | firing warning
         rule C * berlin critical 1 2  | 3.2 resolved rule_changed | clear
         rule D tea * critical 3 4     | 4.1 fired critical        | firing critical
         rule E tea berlin warning 3 9 | 4.2 resolved rule_changed, 5.1 fired warning | firing warning
         delete E                      | 5.2 resolved rule_deleted, 6.1 fired critical | firing critical
         delete D                      | 6.2 resolved rule_deleted | clear
         delete C                      | 7.1 fired warning         | firing warning",
    );
}

#[test]
fn edited_thresholds_are_judged_with_the_hysteresis_of_the_alert() {
    plays(
        "rule A * * warning 10 12             | -                         | clear
         level 9                              | 1.1 fired warning         | firing warning
         rule A * * warning 5 9               | -                         | firing warning
         rule A * * warning 5 8               | 1.2 resolved rule_changed | clear
         rule A * * warning 10 12             | 2.1 fired warning         | firing warning
         rule A * * warning 10 12 critical 9 9 | 2.2 escalated critical   | firing critical
         rule A * * warning 10 12             | -                         | firing warning
         rule A * * critical 8 10             | 2.3 resolved rule_changed | clear",
    );
}

#[test]
fn recovery_by_old_thresholds_and_new_is_recovery() {
    // Two changes of which no job and no commit saw the first alone: the rule is edited between two images.
    let mut row = Row::new();
    row.put_rule(rule("A", (None, None), read(&["warning", "10", "12"]), None));
    assert_eq!(happen(&mut row, &["level", "9"]), "1.1 fired warning");
    row.put_rule(rule("A", (None, None), read(&["warning", "5", "8"]), None));
    assert_eq!(happen(&mut row, &["level", "13"]), "1.2 resolved recovered");
    row.put_rule(rule("A", (None, None), read(&["warning", "10", "12"]), None));
    assert_eq!(happen(&mut row, &["level", "9"]), "2.1 fired warning");
    row.put_rule(rule("A", (None, None), read(&["warning", "5", "8"]), None));
    assert_eq!(happen(&mut row, &["level", "12"]), "2.2 resolved rule_changed", "by the old ones it would still fire");
}

#[test]
fn a_rows_own_reorder_point_applies_where_no_rule_does() {
    plays(
        "level 10 reorder 10        | 1.1 fired warning         | firing warning
         level 10.01 reorder 10     | 1.2 resolved recovered    | clear
         level 10.01 reorder 10.01  | 2.1 fired warning         | firing warning
         level 10.01 reorder 10     | 2.2 resolved rule_changed | clear
         level 3 reorder 10         | 3.1 fired warning         | firing warning
         level 3                    | 3.2 resolved rule_deleted | clear
         level 3 reorder 3          | 4.1 fired warning         | firing warning
         rule A * * critical 0 0    | 4.2 resolved rule_changed | clear
         level 0 reorder 3          | 5.1 fired critical        | firing critical
         delete A                   | 5.2 resolved rule_deleted, 6.1 fired warning | firing warning",
    );
}

#[test]
fn thresholds_at_zero_below_it_and_between_whole_numbers() {
    plays(
        "rule A * * warning 0 0                    | -                      | clear
         level 0.00000000000000000001              | -                      | clear
         level 0                                   | 1.1 fired warning      | firing warning
         level 0.00000000000000000001              | 1.2 resolved recovered | clear
         rule A * * warning -0.5 -0.25 critical -2 -2 | -                   | clear
         level -0.49                               | -                      | clear
         level -0.5                                | 2.1 fired warning      | firing warning
         level -0.25                               | -                      | firing warning
         level -2                                  | 2.2 escalated critical | firing critical
         level -1.99                               | -                      | firing warning
         level -0.24                               | 2.3 resolved recovered | clear",
    );
}

#[test]
fn equal_thresholds_fire_the_severer_one() {
    plays(
        "rule A * * warning 4 4 critical 4 4 | -                      | clear
         level 4                             | 1.1 fired critical     | firing critical
         level 5                             | 1.2 resolved recovered | clear",
    );
}
