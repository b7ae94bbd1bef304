//! `tidemark secrets`.

use jiff::Timestamp;
use tidemark_runtime::clock;
use tidemark_runtime::process::Failure;
use tidemark_runtime::settings::{Reader, SecretKeys, Vars};
use tidemark_store::{Endpoint, EndpointError, Store, Tenant};
use tidemark_webhooks::seal::{Owner, Sealed, SealingKeys};

use crate::command::Secrets;
use crate::connection::Connection;
use crate::output::{counted, say};
use crate::progress::Progress;

/// How often an endpoint is read again that somebody changes at the same moment.
const ATTEMPTS_MAX: usize = 10;

/// What became of endpoints.
#[derive(Debug, Default)]
struct Counts {
    resealed: usize,
    /// They needed nothing.
    current: usize,
    /// Those with a secret that neither key opens.
    lost: usize,
}

pub(crate) async fn run(command: Secrets) -> Result<(), Failure> {
    let Secrets::Reseal = command;
    let vars = Vars::from_process();
    let mut reader = Reader::new(&vars);
    let keys = SecretKeys::read(&mut reader);
    let keys = reader.finish(|| keys).map_err(Failure::wrong_use)?;
    let sealing = SealingKeys::new(&keys.current, keys.previous.as_deref());
    let Connection { store, .. } = Connection::open().await?;

    let (mut counts, mut next) = (Counts::default(), None);
    let progress = Progress::of_rows(&store.tables().data);
    loop {
        let page = store.endpoints_of_all(next).await?;
        progress.inc(page.rows as u64);
        for (tenant, endpoint) in page.endpoints {
            let Some(Resealed { to, lost }) = reseal(&store, &sealing, &tenant, &endpoint).await? else { continue };
            counts.resealed += usize::from(to.is_some());
            counts.current += usize::from(to.is_none() && lost.is_none());
            if let Some(what) = lost {
                counts.lost += 1;
                let told = format!("tenant {}, endpoint {}: neither key opens {what}", tenant.id(), endpoint.id);
                progress.suspend(|| eprintln!("{told}"));
            }
        }
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    progress.finish_and_clear();
    let Counts { resealed, current, lost } = counts;
    say!("{} sealed anew, {current} already with this key", counted(resealed, "endpoint"));
    if lost > 0 {
        return Err(Failure::failed(format!("{} cannot be opened", counted(lost, "endpoint"))));
    }
    Ok(())
}

/// Seals an endpoint's secrets anew where they need it; `None` if it has been deleted meanwhile.
async fn reseal(store: &Store, sealing: &SealingKeys, tenant: &Tenant, found: &Endpoint) -> Result<Option<Resealed>, Failure> {
    for _ in 0..ATTEMPTS_MAX {
        let Some(read) = store.endpoint(tenant, &found.id).await? else { return Ok(None) };
        let resealed = Resealed::of(sealing, tenant, &read, clock::now());
        let Some(to) = &resealed.to else { return Ok(Some(resealed)) };
        match store.update_endpoint(tenant, &read, to.clone()).await {
            Ok(_) => return Ok(Some(resealed)),
            Err(EndpointError::ConditionFailed) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::failed(format!("endpoint {} keeps changing; try again", found.id)))
}

/// What is to become of an endpoint.
#[derive(Debug)]
struct Resealed {
    /// With its secrets sealed with the current key, as far as they open; `None`: nothing changes.
    to: Option<Endpoint>,
    /// What opens with neither key, and what to do about it.
    lost: Option<&'static str>,
}

impl Resealed {
    /// A secret that has ceased to sign stays as it is.
    fn of(sealing: &SealingKeys, tenant: &Tenant, read: &Endpoint, now: Timestamp) -> Self {
        let owner = Owner { tenant: tenant.id(), endpoint: &read.id };
        let (mut to, mut is_new, mut lost) = (read.clone(), false, None);
        let live = to.previous_secret.as_mut().filter(|previous| previous.until > now);
        let previous = live.map(|previous| (&mut previous.secret, "the secret before its last rotation, which no longer signs"));
        for (secret, what) in previous.into_iter().chain([(&mut to.secret, "its secret: rotate it")]) {
            match Sealed::try_from(secret.clone()).and_then(|sealed| sealing.reseal(&sealed, owner)) {
                Ok(None) => {}
                Ok(Some(resealed)) => (*secret, is_new) = (resealed.into(), true),
                Err(_) => lost = Some(what),
            }
        }
        Self { to: is_new.then_some(to), lost }
    }
}
