//! Keys and tenants share nothing but the process, and a refusal costs nobody a token.

use super::*;

const SMALL: Rates = Rates { key: Rate { per_second: 1, burst: 3 }, tenant: Rate { per_second: 4, burst: 12 } };

fn tenant(id: &str) -> TenantId {
    TenantId::new(id).expect("an id")
}

fn ask(limits: &Arc<Limits>, key: &str, whose: &str) -> (Result<(), ApiError>, Admission) {
    ask_for(limits, key, whose, Effect::Read)
}

fn write(limits: &Arc<Limits>, key: &str, whose: &str) -> (Result<(), ApiError>, Admission) {
    ask_for(limits, key, whose, Effect::Write)
}

fn ask_for(limits: &Arc<Limits>, key: &str, whose: &str, effect: Effect) -> (Result<(), ApiError>, Admission) {
    let (admission, tenant) = (Admission::default(), tenant(whose));
    (limits.admit(&admission, Asked { key, whose: Some(&tenant), own: TenantRates::default(), effect }), admission)
}

fn headers(admission: &Admission) -> [String; 2] {
    let mut headers = HeaderMap::new();
    admission.write(&mut headers);
    [POLICY, STANDING].map(|name| headers[name].to_str().expect("ASCII").to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_key_may_ask_as_often_as_its_headers_say() {
    let limits = Arc::new(Limits::new(SMALL));
    for left in [2, 1, 0] {
        let (asked, admission) = ask(&limits, "a", "acme");
        assert!(asked.is_ok());
        let tenants = 9 + left;
        assert_eq!(
            headers(&admission),
            [
                "\"key\";q=3;w=3, \"tenant\";q=12;w=3".to_owned(),
                format!("\"key\";r={left};t={}, \"tenant\";r={tenants};t=1", 3 - left),
            ]
        );
    }
    let (asked, admission) = ask(&limits, "a", "acme");
    assert!(matches!(asked, Err(ApiError::RateLimited(wait)) if wait == Duration::from_secs(1)));
    assert!(headers(&admission)[1].starts_with("\"key\";r=0;t=3"), "a refusal says so, too");
    assert!(ask(&limits, "b", "acme").0.is_ok(), "another key of the tenant has a bucket of its own");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(ask(&limits, "a", "acme").0.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_keys_of_a_tenant_share_its_rate_and_other_tenants_are_not_touched() {
    let limits = Arc::new(Limits::new(SMALL));
    let passed = (0..20).filter(|key| ask(&limits, &format!("k{key}"), "acme").0.is_ok()).count();
    assert_eq!(passed, SMALL.tenant.burst as usize);
    assert!(ask(&limits, "k0", "rival").0.is_ok(), "a name is another's in another tenant");
}

#[tokio::test(start_paused = true)]
async fn a_cost_is_charged_to_the_tenant_alone_and_shown_with_the_answer() {
    let limits = Arc::new(Limits::new(SMALL));
    let (_, admission) = ask(&limits, "a", "acme");
    assert!(headers(&admission)[1].ends_with("\"tenant\";r=11;t=1"));
    admission.charge(5).expect("the tenant has eleven");
    assert!(headers(&admission)[1].ends_with("\"key\";r=2;t=1, \"tenant\";r=6;t=2"), "{:?}", headers(&admission));
    let refused = admission.charge(7).expect_err("it has six");
    assert!(matches!(refused, ApiError::RateLimited(wait) if wait == Duration::from_millis(250)), "{refused:?}");
    assert!(headers(&admission)[1].ends_with("r=6;t=2"), "nothing is charged then");
    admission.owe(8);
    assert!(headers(&admission)[1].ends_with("r=0;t=4"), "a debt of two: fourteen tokens, four a second");
    assert!(matches!(ask(&limits, "b", "acme").0, Err(ApiError::RateLimited(wait)) if wait == Duration::from_millis(750)));
    let (asked, of_rival) = ask(&limits, "a", "rival");
    assert!(asked.is_ok() && headers(&of_rival)[1].ends_with("r=11;t=1"), "another tenant's tokens are its own");
    assert!(Admission::default().charge(1_000).is_ok(), "there is no tenant to charge before the key is known");
}

#[tokio::test(start_paused = true)]
async fn a_cost_above_the_burst_is_charged_to_a_full_bucket() {
    let limits = Arc::new(Limits::new(SMALL));
    let (_first, second) = (ask(&limits, "a", "acme"), ask(&limits, "b", "acme").1);
    assert!(second.charge(100).is_err(), "the bucket is not full but for this request's own token");
    tokio::time::advance(Duration::from_millis(250)).await;
    second.charge(100).expect("it is full");
    assert!(ask(&limits, "c", "acme").0.is_err());
    tokio::time::advance(Duration::from_secs(23)).await;
    assert!(ask(&limits, "c", "acme").0.is_ok(), "the debt is paid");
}

#[tokio::test(start_paused = true)]
async fn a_tenant_has_so_many_places_and_gets_them_back() {
    let rate = Rate { per_second: 1000, burst: 1000 };
    let limits = Arc::new(Limits::new(Rates { key: rate, tenant: rate }));
    let mut held: Vec<_> = (0..TENANT_AT_ONCE_MAX).map(|_| ask(&limits, "a", "acme")).collect();
    assert!(held.iter().all(|(asked, _)| asked.is_ok()));
    assert!(matches!(ask(&limits, "a", "acme").0, Err(ApiError::TooManyAtOnce(_))));
    let (asked, _rivals) = ask(&limits, "b", "rival");
    assert!(asked.is_ok(), "the others' places are theirs");
    held.pop();
    assert!(ask(&limits, "a", "acme").0.is_ok());
    held.clear();
    assert_eq!(limits.requests.holders(), 1, "only the rival's is left");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_the_tenants_writes_refuse_takes_nothing_of_its_key() {
    let limits = Arc::new(Limits::new(Rates::DEFAULT));
    for left in (0..100).rev() {
        let (asked, admission) = write(&limits, "a", "acme");
        assert!(asked.is_ok(), "{left}");
        let [policy, standing] = headers(&admission);
        assert_eq!(policy, "\"key\";q=200;w=2, \"tenant\";q=800;w=2, \"write\";q=100;w=10");
        assert!(standing.contains(&format!("\"key\";r={};", left + 100)) && standing.contains(&format!("\"write\";r={left};")));
    }
    for key in ["a", "b"] {
        let (asked, admission) = write(&limits, key, "acme");
        assert!(matches!(asked, Err(ApiError::RateLimited(wait)) if wait == Duration::from_millis(100)), "{key}: {asked:?}");
        let of_key = if key == "a" { 100 } else { 200 };
        assert!(headers(&admission)[1].starts_with(&format!("\"key\";r={of_key};")), "the key's bucket is as it was");
    }
    let (asked, admission) = ask(&limits, "a", "acme");
    assert!(asked.is_ok() && !headers(&admission)[0].contains("write"), "reads do not count for it");
    assert!(write(&limits, "c", "rival").0.is_ok(), "another tenant's writes are its own");
    tokio::time::advance(Duration::from_millis(100)).await;
    assert!(write(&limits, "b", "acme").0.is_ok());
    assert!(write(&limits, "b", "acme").0.is_err(), "ten a second");
}

#[tokio::test(start_paused = true)]
async fn operators_write_as_often_as_they_ask() {
    let limits = Arc::new(Limits::new(SMALL));
    for _ in 0..SMALL.key.burst {
        let asked = Asked { key: "o", whose: None, own: TenantRates::default(), effect: Effect::Write };
        limits.admit(&Admission::default(), asked).expect("there is no other limit than the key's");
    }
}

#[test]
fn a_tenant_has_so_many_tests_at_once_and_all_tenants_so_many_together() {
    let limits = Limits::new(Rates::DEFAULT);
    let test = |whose: usize| limits.admit_test(&tenant(&format!("t{whose}")));
    let mut held: Vec<Place> = (0..TENANT_TESTS_MAX).map(|_| test(0).expect("a place")).collect();
    assert!(matches!(test(0), Err(ApiError::TooManyTests { wait: AT_ONCE_PAUSE, .. })));
    held.extend((TENANT_TESTS_MAX..TESTS_MAX).map(|place| test(place / TENANT_TESTS_MAX).expect("others' places are theirs")));
    assert!(test(100).is_err(), "the process has no more");
    held.pop();
    assert!(test(100).is_ok());
    held.clear();
    assert_eq!(limits.tests.holders(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_is_bounded() {
    let limits = Arc::new(Limits::new(SMALL));
    for key in 0..REMEMBERED_MAX.get() + 10 {
        let _admission = write(&limits, &format!("k{key}"), &format!("t{key}"));
    }
    let buckets = locked(&limits.buckets);
    assert_eq!([buckets.keys.cap(), buckets.tenants.cap(), buckets.writes.cap()], [REMEMBERED_MAX; 3]);
    assert_eq!([buckets.keys.len(), buckets.writes.len()], [REMEMBERED_MAX.get(); 2]);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_with_rates_of_its_own_is_limited_by_them_and_no_other_tenant_is() {
    let limits = Arc::new(Limits::new(SMALL));
    let ask = |whose: &str, own| {
        let (admission, tenant) = (Admission::default(), tenant(whose));
        let asked = Asked { key: "a", whose: Some(&tenant), own, effect: Effect::Write };
        (limits.admit(&admission, asked).is_ok(), headers(&admission)[0].clone())
    };
    let own = TenantRates { key_rps: Some(20), key_burst: Some(40), tenant_burst: Some(30), ..TenantRates::default() };
    let policy = "\"key\";q=40;w=2, \"tenant\";q=30;w=8, \"write\";q=20;w=10".to_owned();
    assert_eq!(ask("acme", own), (true, policy));
    let policy = "\"key\";q=3;w=3, \"tenant\";q=12;w=3, \"write\";q=1;w=1".to_owned();
    assert_eq!(ask("rival", TenantRates::default()), (true, policy.clone()));
    // Its rates are taken back: its buckets go on by the deployment's.
    assert_eq!(ask("acme", TenantRates::default()), (true, policy));
}

#[tokio::test(start_paused = true)]
async fn pages_are_limited_for_all_clients_together_and_keys_are_not_touched() {
    let limits = Arc::new(Limits::new(SMALL));
    for page in 0..DOCS.burst {
        assert!(limits.admit_docs().is_ok(), "{page}");
    }
    assert!(matches!(limits.admit_docs(), Err(ApiError::RateLimited(wait)) if wait == Duration::from_millis(20)));
    assert!(ask(&limits, "a", "acme").0.is_ok());
    tokio::time::advance(Duration::from_millis(20)).await;
    assert!(limits.admit_docs().is_ok());
}
