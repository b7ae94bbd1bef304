//! Whose access tokens are accepted beside API keys, and which of their claims say whose they are.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::str::FromStr;

use tidemark_runtime::settings::{Reader, Setting, parse};
use url::{Host, Url};

const ISSUER: Setting =
    Setting::optional("TIDEMARK_OIDC_ISSUER", "https URL of an OpenID Connect issuer whose access tokens are accepted");
const AUDIENCE: Setting = Setting::optional("TIDEMARK_OIDC_AUDIENCE", "the audience of its tokens; required with an issuer");
const TENANT_CLAIM: Setting =
    Setting::optional("TIDEMARK_OIDC_TENANT_CLAIM", "the claim that holds the tenant's id; required with an issuer");
const SCOPES_CLAIM: Setting =
    Setting::with_default("TIDEMARK_OIDC_SCOPES_CLAIM", "scope", "the claim that holds the scopes, as a list or one text");
const CLIENTS: Setting = Setting::optional(
    "TIDEMARK_OIDC_CLIENTS",
    "ids of the clients whose tokens are accepted, by the claim azp or else client_id, separated by commas; any client unless set",
);

/// All of them, as `--help` lists them.
pub(super) const OIDC: [Setting; 5] = [ISSUER, AUDIENCE, TENANT_CLAIM, SCOPES_CLAIM, CLIENTS];

/// An issuer and what is read of its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcSettings {
    pub issuer: IssuerUrl,
    pub audience: String,
    pub tenant_claim: String,
    /// Absent in a token: it has no scopes.
    pub scopes_claim: String,
    /// The clients whose tokens are accepted; empty: those of any client.
    pub clients: BTreeSet<String>,
}

/// The text is no list of clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an id is empty; give client ids separated by commas, as in `dashboard,mobile-app`")]
struct EmptyClient;

/// An issuer's URL: `https`, or `http` on this machine; with no query, fragment or user. It is compared as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerUrl(String);

/// The text is no issuer's URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no issuer: give its https URL, without query or fragment, as in the `iss` of its tokens")]
pub struct InvalidIssuer(String);

impl IssuerUrl {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where its configuration is. OpenID Connect Discovery 1.0 §4.
    pub(crate) fn configuration(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.0.trim_end_matches('/'))
    }

    /// Whether keys may be read from a URL: over TLS; on this machine also without, if the issuer is there itself.
    pub(crate) fn admits(&self, url: &Url) -> bool {
        let own = Url::parse(&self.0).expect("it was parsed when it was made");
        url.scheme() == "https" || (url.scheme() == "http" && own.scheme() == "http" && is_loopback(url))
    }
}

impl FromStr for IssuerUrl {
    type Err = InvalidIssuer;

    fn from_str(text: &str) -> Result<Self, InvalidIssuer> {
        let is_good = |url: &Url| {
            let plain =
                url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
            plain && url.has_host() && (url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url)))
        };
        let url = Url::parse(text).ok().filter(is_good);
        url.map(|_| Self(text.to_owned())).ok_or_else(|| InvalidIssuer(text.chars().take(200).collect()))
    }
}

/// By the name alone: nothing is looked up.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

impl OidcSettings {
    /// Reads all of them; `Some(None)`: no tokens are accepted. `None` stands for an error, kept until [`Reader::finish`].
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Option<Self>> {
        let issuer = reader.read_optional(&ISSUER, parse::from_str::<IssuerUrl>);
        let audience = reader.read_optional(&AUDIENCE, parse::text);
        let tenant_claim = reader.read_optional(&TENANT_CLAIM, parse::text);
        let scopes_claim = reader.read(&SCOPES_CLAIM, parse::text);
        let clients = reader.read_optional(&CLIENTS, clients);
        let has_issuer = !matches!(issuer, Some(None));
        for (setting, value) in [(&AUDIENCE, &audience), (&TENANT_CLAIM, &tenant_claim)] {
            match value {
                Some(None) if has_issuer => reader.fault(setting, format_args!("not set; {} needs it", ISSUER.name)),
                Some(Some(_)) if !has_issuer => reader.fault(setting, format_args!("set, but {} is not", ISSUER.name)),
                _ => {}
            }
        }
        if !has_issuer && !matches!(clients, Some(None)) {
            reader.fault(&CLIENTS, format_args!("set, but {} is not", ISSUER.name));
        }
        let Some(issuer) = issuer? else { return Some(None) };
        Some(Some(Self {
            issuer,
            audience: audience??,
            tenant_claim: tenant_claim??,
            scopes_claim: scopes_claim?,
            clients: clients?.unwrap_or_default(),
        }))
    }
}

fn clients(text: &str) -> Result<BTreeSet<String>, EmptyClient> {
    let id = |id: &str| if id.is_empty() { Err(EmptyClient) } else { Ok(id.to_owned()) };
    text.split(',').map(|part| id(part.trim())).collect()
}

#[cfg(test)]
mod tests {
    use tidemark_runtime::settings::{Invalid, Vars};

    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<Option<OidcSettings>, Invalid> {
        let vars = Vars::of(vars.iter().copied());
        let mut reader = Reader::new(&vars);
        let oidc = OidcSettings::read(&mut reader);
        reader.finish(|| oidc)
    }

    #[test]
    fn an_issuer_needs_an_audience_and_a_tenants_claim_and_they_need_it() {
        assert_eq!(read(&[]), Ok(None));
        let issuer = ("TIDEMARK_OIDC_ISSUER", "https://id.example.com/shop/");
        let all = [issuer, ("TIDEMARK_OIDC_AUDIENCE", "tidemark"), ("TIDEMARK_OIDC_TENANT_CLAIM", "tenant")];
        let settings = read(&all).expect("complete").expect("an issuer");
        assert_eq!((settings.issuer.as_str(), settings.scopes_claim.as_str()), (issuer.1, "scope"));
        assert_eq!(settings.issuer.configuration(), "https://id.example.com/shop/.well-known/openid-configuration");
        for lacking in [&all[..1], &all[1..]] {
            let report = read(lacking).expect_err("two are wrong").to_string();
            assert!(report.lines().count() == 2 && report.contains("_AUDIENCE") && report.contains("_TENANT_CLAIM"), "{report}");
        }
        let report = read(&[("TIDEMARK_OIDC_ISSUER", "ftp://x")]).expect_err("all three").to_string();
        assert_eq!(report.lines().count(), 3, "{report}");
    }

    #[test]
    fn clients_are_ids_between_commas_and_need_an_issuer() {
        let all = |clients| {
            [
                ("TIDEMARK_OIDC_ISSUER", "https://id.example.com"),
                ("TIDEMARK_OIDC_AUDIENCE", "tidemark"),
                ("TIDEMARK_OIDC_TENANT_CLAIM", "tenant"),
                ("TIDEMARK_OIDC_CLIENTS", clients),
            ]
        };
        let clients = |text| read(&all(text)).map(|oidc| oidc.expect("an issuer").clients.into_iter().collect::<Vec<_>>());
        assert_eq!(clients("dashboard, mobile-app").as_deref(), Ok(&["dashboard".to_owned(), "mobile-app".to_owned()][..]));
        assert_eq!(clients("").as_deref(), Ok(&[][..]), "empty is unset: any client");
        for bad in [",", "dashboard,", "a,,b", " "] {
            assert!(clients(bad).expect_err(bad).to_string().starts_with("TIDEMARK_OIDC_CLIENTS: an id is empty"));
        }
        let report = read(&all("dashboard")[3..]).expect_err("there is no issuer").to_string();
        assert_eq!(report, "TIDEMARK_OIDC_CLIENTS: set, but TIDEMARK_OIDC_ISSUER is not");
    }

    #[test]
    fn keys_come_over_tls_or_from_this_machine() {
        for bad in ["", "id.example.com", "http://id.example.com", "https://u@example.com", "https://example.com/?a", "https:///"]
        {
            assert!(bad.parse::<IssuerUrl>().is_err(), "{bad}");
        }
        let issuer = |text: &str| text.parse::<IssuerUrl>().expect("an issuer");
        let admits = |issuer: &IssuerUrl, url: &str| issuer.admits(&Url::parse(url).expect("a URL"));
        let (far, near) = (issuer("https://id.example.com"), issuer("http://127.0.0.1:8180/realm"));
        assert!(admits(&far, "https://keys.example.org/jwks") && admits(&near, "http://[::1]:9/jwks"));
        assert!(!admits(&far, "http://127.0.0.1/jwks") && !admits(&near, "http://id.example.com/jwks"));
        assert!(!admits(&near, "file:///etc/passwd"));
    }
}
