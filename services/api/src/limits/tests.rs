//! Keys and tenants share nothing but the process, and a refusal costs nobody a token.

use std::num::NonZeroUsize;

use super::*;

const SMALL: Rate = Rate { per_second: 1, burst: 3 };

fn tenant(id: &str) -> TenantId {
    TenantId::new(id).expect("an id")
}

fn ask(limits: &Arc<Limits>, key: &str, whose: &str) -> (Result<(), ApiError>, Admission) {
    let admission = Admission::default();
    (limits.admit(&admission, key, Some(&tenant(whose))), admission)
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
async fn the_keys_of_a_tenant_share_a_multiple_and_other_tenants_are_not_touched() {
    let limits = Arc::new(Limits::new(SMALL));
    let passed = (0..20).filter(|key| ask(&limits, &format!("k{key}"), "acme").0.is_ok()).count();
    assert_eq!(passed, (SMALL.burst * TENANT_MULTIPLE) as usize);
    assert!(ask(&limits, "k0", "rival").0.is_ok(), "a name is another's in another tenant");
}

#[tokio::test(start_paused = true)]
async fn a_tenant_has_so_many_places_and_gets_them_back() {
    let limits = Arc::new(Limits::new(Rate { per_second: 1000, burst: 1000 }));
    let mut held: Vec<_> = (0..TENANT_AT_ONCE_MAX).map(|_| ask(&limits, "a", "acme")).collect();
    assert!(held.iter().all(|(asked, _)| asked.is_ok()));
    assert!(matches!(ask(&limits, "a", "acme").0, Err(ApiError::TooManyAtOnce(_))));
    let (asked, _rivals) = ask(&limits, "b", "rival");
    assert!(asked.is_ok(), "the others' places are theirs");
    held.pop();
    assert!(ask(&limits, "a", "acme").0.is_ok());
    held.clear();
    assert_eq!(locked(&limits.under_way).len(), 1, "only the rival's is left");
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_is_bounded() {
    let limits = Arc::new(Limits::new(SMALL));
    for key in 0..REMEMBERED_MAX.get() + 10 {
        let _admission = ask(&limits, &format!("k{key}"), &format!("t{key}"));
    }
    let buckets = locked(&limits.buckets);
    assert_eq!([buckets.keys.cap(), buckets.tenants.cap()], [REMEMBERED_MAX; 2]);
    assert_eq!(NonZeroUsize::new(buckets.keys.len()), Some(REMEMBERED_MAX));
}
