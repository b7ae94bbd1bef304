//! `tidemark secrets`.

use jiff::Timestamp;
use tidemark_runtime::clock;
use tidemark_runtime::process::Failure;
use tidemark_runtime::settings::{Reader, SecretKeys, Vars};
use tidemark_store::{Endpoint, EndpointError, Store, Tenant};
use tidemark_webhooks::seal::{self, Owner, Sealed, SealingKeys};

use crate::command::Secrets;
use crate::connection::Connection;
use crate::output::{counted, say};
use crate::progress::Progress;

/// How often an endpoint is read again that somebody changes at the same moment.
const ATTEMPTS_MAX: usize = 10;

/// What became of one endpoint's secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Resealed,
    /// It needed nothing, or has been deleted meanwhile.
    Current,
    Lost,
}

pub(crate) async fn run(command: Secrets) -> Result<(), Failure> {
    let Secrets::Reseal = command;
    let vars = Vars::from_process();
    let mut reader = Reader::new(&vars);
    let keys = SecretKeys::read(&mut reader);
    let keys = reader.finish(|| keys).map_err(Failure::wrong_use)?;
    let sealing = SealingKeys::new(&keys.current, keys.previous.as_ref());
    let Connection { store, .. } = Connection::open().await?;

    let (mut outcomes, mut next) = (Vec::new(), None);
    let progress = Progress::of_rows(&store.tables().data);
    loop {
        let page = store.endpoints_of_all(next).await?;
        progress.inc(page.rows as u64);
        for (tenant, endpoint) in page.endpoints {
            let outcome = reseal(&store, &sealing, &tenant, &endpoint).await?;
            if outcome == Outcome::Lost {
                eprintln!("tenant {}, endpoint {}: opens with neither key; rotate its secret", tenant.id(), endpoint.id);
            }
            outcomes.push(outcome);
        }
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    progress.finish_and_clear();
    let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count();
    let (resealed, current, lost) = (count(Outcome::Resealed), count(Outcome::Current), count(Outcome::Lost));
    say!("{} sealed anew, {current} already with this key", counted(resealed, "endpoint"));
    if lost > 0 {
        return Err(Failure::failed(format!("{} cannot be opened", counted(lost, "endpoint"))));
    }
    Ok(())
}

/// Seals an endpoint's secrets anew where they need it.
async fn reseal(store: &Store, sealing: &SealingKeys, tenant: &Tenant, endpoint: &Endpoint) -> Result<Outcome, Failure> {
    for _ in 0..ATTEMPTS_MAX {
        let Some(read) = store.endpoint(tenant, &endpoint.id).await? else { return Ok(Outcome::Current) };
        let to = match resealed(sealing, tenant, &read, clock::now()) {
            Ok(Some(to)) => to,
            Ok(None) => return Ok(Outcome::Current),
            Err(_) => return Ok(Outcome::Lost),
        };
        match store.update_endpoint(tenant, &read, to).await {
            Ok(_) => return Ok(Outcome::Resealed),
            Err(EndpointError::ConditionFailed) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::failed(format!("endpoint {} is being changed all the time; try again", endpoint.id)))
}

/// The endpoint with its secrets sealed with the current key; `None` if they are. One that has ceased to sign stays as it is.
fn resealed(sealing: &SealingKeys, tenant: &Tenant, read: &Endpoint, now: Timestamp) -> Result<Option<Endpoint>, seal::Error> {
    let owner = Owner { tenant: tenant.id(), endpoint: &read.id };
    let anew = |sealed: &String| Ok(sealing.reseal(&Sealed::try_from(sealed.clone())?, owner)?.map(String::from));
    let mut to = read.clone();
    let live = to.previous_secret.as_mut().filter(|previous| previous.until > now);
    let mut is_new = false;
    for secret in [Some(&mut to.secret), live.map(|previous| &mut previous.secret)].into_iter().flatten() {
        if let Some(resealed) = anew(secret)? {
            *secret = resealed;
            is_new = true;
        }
    }
    Ok(is_new.then_some(to))
}
