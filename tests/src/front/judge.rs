//! The judge: who calls, and whether that workload's policy allows it.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::policy::{Access, Part, Policy};

/// Whoever has a role of its own: see `deploy/iam`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Workload {
    Ingest,
    Api,
    /// `tidemark init`, as the chart's hook runs it.
    Init,
    /// The other commands of `tidemark`.
    Operator,
}

/// The policies as they ship.
static SHIPPED: LazyLock<BTreeMap<Workload, Policy>> =
    LazyLock::new(|| Workload::ALL.into_iter().map(|workload| (workload, workload.policy())).collect());

/// Judges the calls of one front, by the policies as they ship until a test takes something away.
#[derive(Debug, Default)]
pub(super) struct Judge(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Those from which something is taken away.
    lesser: BTreeMap<Workload, Policy>,
    /// What was allowed, by what allowed it, and one example of each.
    allowed: BTreeMap<Workload, BTreeMap<Vec<Part>, Access>>,
    refused: Vec<Refusal>,
}

/// A call that no statement allowed.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub workload: Workload,
    /// What of the call it was; more may not be allowed.
    pub access: Access,
    /// By the policy as it ships.
    is_wrong: bool,
}

impl Workload {
    pub const ALL: [Self; 4] = [Self::Ingest, Self::Api, Self::Init, Self::Operator];

    /// Whose policy a command of ours has to get by with. Whoever has it create source tables may do anything.
    pub fn of_command(binary: &str, arguments: &[&str]) -> Option<Self> {
        match (binary, arguments.first()) {
            ("tidemark-ingest" | "hasty-ingest", _) => Some(Self::Ingest),
            ("tidemark-api", _) => Some(Self::Api),
            ("tidemark", Some(&"init")) => (!arguments.contains(&"--with-sources")).then_some(Self::Init),
            ("tidemark", Some(&"tenant" | &"key" | &"status" | &"quarantine" | &"definitions" | &"secrets")) => {
                Some(Self::Operator)
            }
            _ => None,
        }
    }

    /// The access key by which the front knows it, given the world's own.
    pub fn access_key(self, of_world: &str) -> String {
        format!("{of_world}{}", self.suffix())
    }

    /// Its policy, as it ships.
    pub fn policy(self) -> Policy {
        Policy::parse(match self {
            Self::Ingest => include_str!("../../../deploy/iam/ingest.json"),
            Self::Api => include_str!("../../../deploy/iam/api.json"),
            Self::Init => include_str!("../../../deploy/iam/init.json"),
            Self::Operator => include_str!("../../../deploy/iam/operator.json"),
        })
    }

    /// The workload of an access key, and the world's own key.
    pub(super) fn of_access_key(key: &str) -> Option<(Self, &str)> {
        Self::ALL.into_iter().find_map(|workload| Some((workload, key.strip_suffix(workload.suffix())?)))
    }

    /// DynamoDB Local takes keys of letters and digits only; so long an ending no random key has.
    fn suffix(self) -> &'static str {
        match self {
            Self::Ingest => "TidemarkIngest",
            Self::Api => "TidemarkApi",
            Self::Init => "TidemarkInit",
            Self::Operator => "TidemarkOperator",
        }
    }
}

impl Judge {
    /// Judges a call, and notes what allows it.
    ///
    /// # Errors
    /// The first part of it that no statement allows.
    pub(super) fn judge(&self, workload: Workload, call: &str, request: &Value) -> Result<(), Box<Refusal>> {
        let accesses = Access::of_call(call, request);
        let mut state = self.state();
        for access in accesses {
            let lesser = state.lesser.get(&workload);
            let Some(grounds) = lesser.unwrap_or(&SHIPPED[&workload]).grounds(&access) else {
                let refusal = Refusal { workload, access, is_wrong: lesser.is_none() };
                state.refused.push(refusal.clone());
                return Err(Box::new(refusal));
            };
            state.allowed.entry(workload).or_default().entry(grounds).or_insert(access);
        }
        Ok(())
    }

    /// # Panics
    /// When the policy does not have it.
    pub(super) fn take_away(&self, workload: Workload, part: &Part) {
        let mut state = self.state();
        let policy = state.lesser.remove(&workload).unwrap_or_else(|| workload.policy());
        assert!(policy.parts().contains(part), "{workload:?} has no {part}");
        let less = policy.without(part);
        state.lesser.insert(workload, less);
    }

    pub(super) fn give_back(&self, workload: Workload) {
        self.state().lesser.remove(&workload);
    }

    pub(super) fn allowed(&self, workload: Workload) -> BTreeMap<Vec<Part>, Access> {
        self.state().allowed.get(&workload).cloned().unwrap_or_default()
    }

    pub(super) fn refused(&self) -> Vec<Refusal> {
        self.state().refused.clone()
    }

    /// What the policies as they ship refused, in words.
    pub(super) fn wrongly_refused(&self) -> Vec<String> {
        let state = self.state();
        let wrong = state.refused.iter().filter(|refusal| refusal.is_wrong);
        wrong.map(|refusal| format!("{:?} {:?}", refusal.workload, refusal.access)).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refusal {
    /// DynamoDB's answer to the call.
    pub(super) fn answer(&self) -> Value {
        let (action, role) = (self.access.action(), format!("{:?}", self.workload).to_lowercase());
        let message = format!(
            "User: arn:aws:sts::000000000000:assumed-role/tidemark-{role}/test is not authorized to perform: {action} on resource: {} \
             because no identity-based policy allows the {action} action",
            self.access.arn()
        );
        json!({ "__type": "com.amazon.coral.service#AccessDeniedException", "Message": message })
    }
}
