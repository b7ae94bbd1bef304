//! What can be said on the command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgGroup, Args, Parser, Subcommand, value_parser};
use jiff::Timestamp;
use tidemark_domain::{Currency, MetricName, SourceName, TenantId, Zone, tenant, zone};
use tidemark_store::{QuarantineId, RATE_MAX, Scope, TenantRates, UnknownScope, checked_name};

/// Exact, live, per-tenant numbers from DynamoDB tables.
///
/// `tidemark dev` runs everything on this machine, with nothing to set up. The other commands work on the tables named by
/// TIDEMARK_TABLE (default: tidemark) and TIDEMARK_CONTROL_TABLE (default: tidemark-control), reached through the standard AWS
/// variables: AWS_REGION, AWS_ENDPOINT_URL, AWS_PROFILE, credentials.
///
/// Exit codes: 0 success, 1 failure, 2 usage or settings error.
#[derive(Debug, Parser)]
#[command(name = "tidemark", version)]
pub(crate) struct Tidemark {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything in one process on an embedded DynamoDB, with sample data.
    Dev(Dev),
    /// Create Tidemark's tables, and tenants; existing tables keep their data, and get the index and protections they lack.
    Init(Init),
    /// Check a definition file: every problem with its line and what is allowed.
    Check(Check),
    /// Create tenants.
    #[command(subcommand)]
    Tenant(Tenant),
    /// Create API keys.
    #[command(subcommand)]
    Key(Key),
    /// Change the key that secrets are sealed with.
    #[command(subcommand)]
    Secrets(Secrets),
    /// Show each source: watermark, lag, shards by state and owner, gaps, quarantined records.
    ///
    /// With --json, `exact` is false while one of `reasons` stands: those of the source, for all its metrics and tenants together. The
    /// reasons of one tenant's own numbers are at the API's /v1/status.
    Status(Status),
    /// Look at records that could not be counted: whose they are, why, and what they said.
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// Show and change the running definitions.
    #[command(subcommand)]
    Definitions(Definitions),
}

#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// Port of the API; 0 for any that is free.
    #[arg(long, default_value_t = 8080)]
    pub(crate) port: u16,
    /// Port of the embedded DynamoDB; 0 for any that is free.
    #[arg(long, default_value_t = 8000)]
    pub(crate) dynamodb_port: u16,
    /// Keep the data in this directory; by default it is kept in memory.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The definition file; by default the sample shop of definitions/retail.yaml.
    #[arg(long, value_name = "FILE")]
    pub(crate) definitions: Option<PathBuf>,
    /// Do not write sample orders and stock changes.
    #[arg(long)]
    pub(crate) no_sample_data: bool,
    #[command(flatten)]
    pub(crate) tenants: Tenants,
    /// Print one line of JSON with all URLs and keys, once everything answers.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Also create the source tables of the definition file that have a `key`, with their streams on.
    #[arg(long)]
    pub(crate) with_sources: bool,
    #[command(flatten)]
    pub(crate) tenants: Tenants,
    #[command(flatten)]
    pub(crate) file: DefinitionFile,
}

/// Tenants to create before a worker counts their first record.
#[derive(Debug, Clone, Args)]
pub(crate) struct Tenants {
    /// Create this tenant, with the IANA zone whose days it counts in, such as main=Europe/Berlin; may be repeated.
    ///
    /// The first record that is counted fixes a tenant's zone. A tenant that was not created until then counts in UTC.
    #[arg(long = "tenant", value_name = "ID=ZONE")]
    pub(crate) tenants: Vec<TenantInZone>,
}

/// A tenant and its zone, as `ID=ZONE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TenantInZone {
    pub(crate) id: TenantId,
    pub(crate) zone: Zone,
}

/// Why a text names no tenant and zone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidTenant {
    #[error("it is a tenant and its time zone, such as main=Europe/Berlin")]
    NoZone,
    #[error(transparent)]
    Id(#[from] tenant::Error),
    #[error(transparent)]
    Zone(#[from] zone::UnknownZone),
}

impl FromStr for TenantInZone {
    type Err = InvalidTenant;

    fn from_str(text: &str) -> Result<Self, InvalidTenant> {
        let (id, zone) = text.split_once('=').ok_or(InvalidTenant::NoZone)?;
        Ok(Self { id: TenantId::new(id)?, zone: Zone::named(zone)? })
    }
}

/// Where the definition file is.
#[derive(Debug, Args)]
pub(crate) struct DefinitionFile {
    /// The definition file.
    #[arg(long = "definitions", value_name = "FILE", env = "TIDEMARK_DEFINITIONS")]
    pub(crate) path: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The definition file.
    pub(crate) file: PathBuf,
    /// Print what the file means, or its problems, as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tenant {
    /// Create a tenant. The same command twice is fine.
    Create {
        /// 1 to 64 of A-Z a-z 0-9 _ -
        id: TenantId,
        /// A name for people.
        #[arg(long, value_parser = checked_name)]
        name: Option<String>,
        /// The IANA zone whose days the tenant counts in; the first record that is counted fixes it. Default: UTC.
        #[arg(long, value_parser = Zone::named)]
        time_zone: Option<Zone>,
        /// The currency shown by default.
        #[arg(long, value_parser = Currency::new)]
        currency: Option<Currency>,
        #[command(flatten)]
        rates: Rates,
        /// Print JSON, for scripts.
        #[arg(long)]
        json: bool,
    },
}

/// Request rates of a tenant. Rates that are left out follow TIDEMARK_KEY_RPS, TIDEMARK_KEY_BURST, TIDEMARK_TENANT_RPS and
/// TIDEMARK_TENANT_BURST of the API.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Rates {
    /// Requests a second of one key. Default: the API's.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=i64::from(RATE_MAX)))]
    key_rps: Option<u32>,
    /// Requests of one key at once, after a pause. Default: the API's.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=i64::from(RATE_MAX)))]
    key_burst: Option<u32>,
    /// Requests a second of all keys of the tenant. Default: the API's.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=i64::from(RATE_MAX)))]
    tenant_rps: Option<u32>,
    /// Requests of all keys of the tenant at once, after a pause. Default: the API's.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=i64::from(RATE_MAX)))]
    tenant_burst: Option<u32>,
}

impl From<Rates> for TenantRates {
    fn from(Rates { key_rps, key_burst, tenant_rps, tenant_burst }: Rates) -> Self {
        Self { key_rps, key_burst, tenant_rps, tenant_burst }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Create an API key and print it, this once.
    #[command(group = ArgGroup::new("holder").required(true))]
    Create {
        /// The tenant the key is for.
        #[arg(long, group = "holder")]
        tenant: Option<TenantId>,
        /// Make an operator's key, of no tenant.
        #[arg(long, group = "holder", conflicts_with = "scopes")]
        operator: bool,
        /// What the key may do, separated by commas or spaces; all of a tenant's scopes by default.
        #[arg(long, num_args = 1..)]
        scopes: Vec<Scopes>,
        /// A name to tell keys apart.
        #[arg(long, value_parser = checked_name)]
        name: Option<String>,
        /// When the key ends, RFC 3339; never by default.
        #[arg(long)]
        expires_at: Option<Timestamp>,
        /// Print JSON, for scripts.
        #[arg(long)]
        json: bool,
    },
}

/// The scopes of one argument; at least one.
#[derive(Debug, Clone)]
pub(crate) struct Scopes(pub(crate) Vec<Scope>);

impl FromStr for Scopes {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        let is_between = |c: char| c == ',' || c.is_whitespace();
        let words: Vec<&str> = text.split(is_between).filter(|word| !word.is_empty()).collect();
        // Of separators alone nothing must come: a key that is given no scopes has all of them.
        let words = if words.is_empty() { vec![text] } else { words };
        words.into_iter().map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Secrets {
    /// Seal the secrets of all webhook endpoints with TIDEMARK_SECRET_KEY.
    ///
    /// Afterwards no webhook needs TIDEMARK_SECRET_KEY_PREVIOUS any more; answers that are kept for an Idempotency-Key need it for 24
    /// hours. Both variables must be set, as the workloads have them, and all workloads must have them already. The whole table
    /// TIDEMARK_TABLE is read once.
    Reseal,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Print JSON, for scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Most records or tenants that `tidemark quarantine list` lists.
pub(crate) const QUARANTINE_LISTED_MAX: u16 = 1000;

/// Whose quarantine.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct Whose {
    /// Records of this tenant.
    #[arg(long)]
    pub(crate) tenant: Option<TenantId>,
    /// Records of this source whose tenant could not be read.
    #[arg(long, value_parser = SourceName::new)]
    pub(crate) source: Option<SourceName>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Quarantine {
    /// List whose records are quarantined, or the records of one tenant or source.
    ///
    /// Without --tenant and --source: how many records each source and tenant has ever had quarantined, and when the latest of them was
    /// written. With one of them: its records, newest day first; each is kept 30 days.
    List {
        #[command(flatten)]
        whose: Whose,
        /// List at most this many records or tenants.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=i64::from(QUARANTINE_LISTED_MAX)))]
        limit: u16,
        /// Print JSON, for scripts.
        #[arg(long)]
        json: bool,
    },
    /// Show one record with both images.
    #[command(mut_group("Whose", |group| group.required(true)))]
    Show {
        /// The record's id, as `tidemark quarantine list` has it.
        id: QuarantineId,
        #[command(flatten)]
        whose: Whose,
        /// Print JSON, for scripts.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Definitions {
    /// Show what runs, and since when.
    Show {
        /// Print JSON, for scripts.
        #[arg(long)]
        json: bool,
    },
    /// Let a metric that the file changes count anew, from now on.
    ///
    /// Also a metric that the file does not change, if a newer time-zone database moved days of a tenant's zone since it began: answers
    /// then have the reason `zones`.
    Accept {
        /// The metric, as the file names it.
        #[arg(value_parser = MetricName::new)]
        metric: MetricName,
        /// Say that what was counted before is given up.
        #[arg(long, required = true)]
        from_now: bool,
        #[command(flatten)]
        file: DefinitionFile,
    },
    /// Stop a metric, inventory or source that the file no longer has.
    ///
    /// What it counted is answered no more, for good: a file that names it again begins it anew. So a name that the definition file
    /// still has is refused, where that file is known.
    Remove {
        /// Its name, as `tidemark definitions show` has it.
        name: String,
        /// Remove it even though the file still has it, and give up what was counted.
        #[arg(long)]
        for_good: bool,
        #[command(flatten)]
        file: DefinitionFile,
    },
}
