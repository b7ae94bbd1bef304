//! What the dispatcher does beside delivering: rules judged anew, alerts repeated.

use jiff::SignedDuration;
use tidemark_domain::alert::{Act, AlertState, Reason};
use tidemark_domain::rule::{RepeatEvery, Severity};
use tidemark_domain::{Alert, JobId, Rule};
use tidemark_runtime::clock;
use tidemark_store::Work;
use tidemark_tests::deployment::DEADLINE;
use tidemark_tests::{Fault, When, wait_until};
use tokio::time::{Duration, Instant};

use super::{Scene, asked};

/// ALERTS §2.
const WITHIN: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_rule_over_stock_that_is_low_already_fires_and_ends_with_the_rule() {
    let scene = Scene::start().await;
    scene.endpoint("all", None).await;
    let worker = scene.worker().await;
    for (item, on_hand) in [("tea", 3), ("mug", 4), ("tray", 50)] {
        scene.stock_without_point(item, on_hand).await;
        scene.until_stored(item).await;
    }
    let rule = scene.rule(None, &[(Severity::Warning, "5")]);
    let written = Instant::now();
    scene.store().create_rule(&scene.tenant, &rule, clock::now()).await.unwrap();
    scene.receiver.until_taken("all", &["fired", "fired"]).await;
    assert!(written.elapsed() < WITHIN);

    let kept = scene.rule(Some("mug"), &[(Severity::Warning, "9")]);
    scene.store().create_rule(&scene.tenant, &kept, clock::now()).await.unwrap();
    scene.receiver.until_taken("all", &["fired", "fired", "resolved", "fired"]).await;
    let stored = scene.store().rule(&scene.tenant, &rule.id).await.unwrap().unwrap();
    scene.store().delete_rule(&scene.tenant, &stored, clock::now()).await.unwrap();
    scene.receiver.until_taken("all", &["fired", "fired", "resolved", "fired", "resolved"]).await;
    scene.until_nothing_is_due().await;
    let mut ends: Vec<_> = scene.alerts().await.into_iter().map(|alert| (alert.key.item, alert.rule.rule, alert.state)).collect();
    ends.sort_by_key(|(item, rule, _)| (item.clone(), rule.clone()));
    let is_end = |state: &AlertState, reason: &Reason| matches!(state, AlertState::Resolved { reason: why, .. } if why == reason);
    assert!(is_end(&ends[0].2, &Reason::RuleChanged), "the more specific rule took over: {ends:?}");
    assert_eq!((&ends[1].1, &ends[1].2), (&Some(kept.id), &AlertState::Firing));
    assert!(is_end(&ends[2].2, &Reason::RuleDeleted), "{ends:?}");
    assert_eq!(ends.len(), 3);
    worker.stop().await;
}

#[tokio::test]
async fn a_rules_job_does_not_undo_what_a_commit_does_meanwhile() {
    let scene = Scene::start().await;
    let items: Vec<String> = (0..250).map(|number| format!("item-{number}")).collect();
    for item in &items {
        scene.commit_without_point(item, 3).await;
    }
    let rule = scene.rule(None, &[(Severity::Warning, "5")]);
    scene.store().create_rule(&scene.tenant, &rule, clock::now()).await.unwrap();
    let worker = scene.worker().await;
    // While the job goes through them, every other one is restocked by changes of the source.
    for item in items.iter().step_by(2) {
        scene.stock_without_point(item, 30).await;
    }
    scene.deployment.settled("stock").await;
    scene.until_nothing_is_due().await;
    let alerts = scene.alerts().await;
    for (index, item) in items.iter().enumerate() {
        let of_item: Vec<&Alert> = alerts.iter().filter(|alert| alert.key.item == *item).collect();
        assert!(of_item.len() <= 1, "{item}: {of_item:?}");
        let fires = of_item.iter().any(|alert| alert.is_firing());
        assert_eq!(fires, index % 2 == 1, "{item}: {of_item:?}");
    }
    worker.stop().await;
}

/// Levels, so many that a pass over them takes several pages.
const MANY: usize = 260;
/// How often a rule is written while a pass is under way.
const WRITES: usize = 50;

impl Scene {
    /// A rule over many levels that are low, and the job that judges them.
    async fn judged_slowly(&self) -> (Rule, JobId) {
        for number in 0..MANY {
            self.commit_without_point(&format!("item-{number}"), 3).await;
        }
        let rule = self.rule(None, &[(Severity::Warning, "5")]);
        self.store().create_rule(&self.tenant, &rule, clock::now()).await.unwrap();
        let jobs = self.outstanding().await.into_iter().filter_map(|due| match due.work {
            Work::Job(id) => Some(id),
            _ => None,
        });
        // Slow enough to be met in the middle.
        let always = When::Matching(Box::new(|_| true));
        self.deployment.world.front().fault("TransactWriteItems", always, Fault::Delay(Duration::from_millis(50)));
        let [job] = &jobs.collect::<Vec<_>>()[..] else { panic!("there is one job") };
        (rule, job.clone())
    }

    /// How far the pass under way is stored to have come.
    async fn cursor(&self, job: &JobId) -> Option<String> {
        self.store().job(&self.tenant, job).await.unwrap().unwrap().progress.cursor
    }

    /// Waits until the first pass is stored as begun. Before that, a pass whose levels the writes of rules hold up begins once more, and
    /// is counted once.
    async fn until_a_page_is_judged(&self, job: &JobId) {
        wait_until("a page to be judged", DEADLINE, async || self.cursor(job).await.is_some()).await;
    }

    /// Writes a rule many times; at last so that none of the levels is low.
    async fn written_often(&self, mut rule: Rule) {
        for round in 1..=WRITES {
            let fires = if round == WRITES { "1" } else { ["5", "4"][round % 2] };
            let to = Rule { thresholds: self.rule(None, &[(Severity::Warning, fires)]).thresholds, ..rule.clone() };
            rule = self.store().update_rule(&self.tenant, &rule, to, clock::now()).await.unwrap();
        }
    }

    /// Waits until all is judged by the rule as it was written last, and says how many passes a job made for that.
    async fn passes_until_all_is_judged(&self, job: &JobId) -> u64 {
        wait_until("the job to be done", DEADLINE, async || {
            self.store().job(&self.tenant, job).await.unwrap().is_some_and(|job| job.is_done)
        })
        .await;
        let firing = self.alerts().await.iter().filter(|alert| alert.is_firing()).count();
        assert_eq!(firing, 0, "by the last rule none is low");
        self.store().job(&self.tenant, job).await.unwrap().expect("it is kept for a while").progress.counts["passes"]
    }
}

#[tokio::test]
async fn fifty_writes_of_a_rule_while_a_pass_is_under_way_are_answered_by_two_more_at_most() {
    let scene = Scene::start().await;
    let (rule, job) = scene.judged_slowly().await;
    let worker = scene.worker().await;
    scene.until_a_page_is_judged(&job).await;
    scene.written_often(rule).await;
    let is_done = scene.store().job(&scene.tenant, &job).await.unwrap().unwrap().is_done;
    assert!(!is_done, "the pass was under way all the time");
    let passes = scene.passes_until_all_is_judged(&job).await;
    assert!((2..=3).contains(&passes), "{passes}");
    worker.stop().await;
}

#[tokio::test]
async fn a_rule_written_while_the_pass_of_a_killed_worker_was_under_way_is_answered_by_the_next_worker() {
    let scene = Scene::start().await;
    let (rule, job) = scene.judged_slowly().await;
    let worker = scene.worker().await;
    scene.until_a_page_is_judged(&job).await;
    scene.written_often(rule).await;
    worker.kill().await;
    assert!(scene.cursor(&job).await.is_some(), "the pass was broken off");
    scene.deployment.world.front().no_faults();
    let worker = scene.worker().await;
    scene.passes_until_all_is_judged(&job).await;
    worker.stop().await;
}

/// An alert that began some minutes ago, by a rule that repeats it every quarter of an hour.
async fn fired_before(scene: &Scene, minutes: i64) -> Alert {
    let every = RepeatEvery::new(SignedDuration::from_mins(15)).unwrap();
    let rule = Rule { repeat_every: Some(every), ..scene.rule(Some("tea"), &[(Severity::Warning, "5")]) };
    scene.store().create_rule(&scene.tenant, &rule, clock::now()).await.unwrap();
    let events = scene.commit("tea", 3, clock::now() - SignedDuration::from_mins(minutes)).await;
    events[0].alert.clone()
}

#[tokio::test]
async fn an_alert_that_nobody_acknowledges_is_repeated_once_each_time() {
    let scene = Scene::start().await;
    scene.endpoint("all", None).await;
    let alert = fired_before(&scene, 20).await;
    let worker = scene.worker().await;
    scene.receiver.until_taken("all", &["fired", "repeated"]).await;
    wait_until("the next repeat to be all that is left", DEADLINE, async || scene.outstanding().await.len() == 1).await;
    let repeated = scene.alerts().await.remove(0);
    assert_eq!((&repeated.id, repeated.sequence), (&alert.id, 2));
    let next = scene.outstanding().await[0].at.duration_since(repeated.event_at);
    assert!((next - SignedDuration::from_mins(15)).abs() < SignedDuration::from_secs(1), "{next}");
    worker.stop().await;
}

#[tokio::test]
async fn an_acknowledged_alert_is_not_repeated() {
    let scene = Scene::start().await;
    scene.endpoint("all", None).await;
    let alert = fired_before(&scene, 20).await;
    scene.act(&alert.id, Act::Acknowledge { by: "key_1".to_owned(), note: None }).await;
    let worker = scene.worker().await;
    scene.receiver.until_taken("all", &["fired"]).await;
    scene.until_nothing_is_due().await;
    assert_eq!(scene.alerts().await[0].sequence, 1);
    worker.stop().await;
}

#[tokio::test]
async fn jobs_that_wait_share_one_read_of_their_tenants_rules() {
    const RULES: usize = 30;
    let scene = Scene::start().await;
    for number in 0..RULES {
        let rule = scene.rule(Some(&format!("item-{number}")), &[(Severity::Warning, "5")]);
        scene.store().create_rule(&scene.tenant, &rule, clock::now()).await.unwrap();
    }
    let queries = scene.overhear("Query");
    let worker = scene.worker().await;
    scene.until_nothing_is_due().await;
    let reads = queries.count(|query| asked(query).0 == "T#acme#RULES");
    assert!((1..=RULES / 2).contains(&reads), "{reads} reads for {RULES} jobs");
    worker.stop().await;
}
