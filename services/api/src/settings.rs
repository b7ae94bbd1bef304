//! What the API needs to know before it starts, from the environment or from whoever runs it in its own process.

mod oidc;

use std::net::SocketAddr;

use tidemark_runtime::settings::deployment::{
    self, ADMIN_ADDR, CONTROL_TABLE, DEFINITIONS, SECRET_KEY, SECRET_KEY_PREVIOUS, TABLE, WEBHOOK_ALLOW_CIDRS, WEBHOOK_DENY_CIDRS,
};
use tidemark_runtime::settings::{Invalid, Reader, SecretKeys, Setting, Vars, parse};
use tidemark_runtime::telemetry::{OTLP_ENDPOINT, RUST_LOG};
use tidemark_store::Tables;
use tidemark_webhooks::policy::Networks;

use oidc::OIDC;
pub use oidc::{InvalidIssuer, IssuerUrl, OidcSettings};

use crate::edge::{EDGE, EdgeSettings};

/// The setting that says where the API listens.
pub const API_ADDR: Setting = Setting::with_default("TIDEMARK_API_ADDR", "0.0.0.0:8080", "where the API listens");

/// All of them, as `--help` lists them.
pub const ALL: [Setting; 22] = [
    DEFINITIONS,
    TABLE,
    CONTROL_TABLE,
    API_ADDR,
    ADMIN_ADDR,
    SECRET_KEY,
    SECRET_KEY_PREVIOUS,
    WEBHOOK_ALLOW_CIDRS,
    WEBHOOK_DENY_CIDRS,
    EDGE[0],
    EDGE[1],
    EDGE[2],
    EDGE[3],
    EDGE[4],
    EDGE[5],
    OIDC[0],
    OIDC[1],
    OIDC[2],
    OIDC[3],
    OIDC[4],
    RUST_LOG,
    OTLP_ENDPOINT,
];

/// The settings of one API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Path of the definition file.
    pub definitions: String,
    pub tables: Tables,
    pub api_addr: SocketAddr,
    pub admin_addr: SocketAddr,
    /// Cursors are signed, and secrets of endpoints sealed with these.
    pub keys: SecretKeys,
    /// Private networks that endpoints may be in.
    pub webhook_allow: Networks,
    /// Networks that nothing may be sent to.
    pub webhook_deny: Networks,
    pub edge: EdgeSettings,
    /// `None`: API keys alone are accepted.
    pub oidc: Option<OidcSettings>,
}

impl Settings {
    /// # Errors
    /// Every variable that is missing or wrong, together.
    pub fn read(vars: &Vars) -> Result<Self, Invalid> {
        let mut reader = Reader::new(vars);
        let definitions = reader.read(&DEFINITIONS, parse::text);
        let tables = deployment::tables(&mut reader).map(|(data, control)| Tables { data, control });
        let api_addr = reader.read(&API_ADDR, parse::socket_address);
        let admin_addr = reader.read(&ADMIN_ADDR, parse::socket_address);
        let keys = SecretKeys::read(&mut reader);
        let allow = reader.read_optional(&WEBHOOK_ALLOW_CIDRS, parse::from_str::<Networks>);
        let deny = reader.read_optional(&WEBHOOK_DENY_CIDRS, parse::from_str::<Networks>);
        let edge = EdgeSettings::read(&mut reader);
        let oidc = OidcSettings::read(&mut reader);
        reader.finish(|| {
            Some(Self {
                definitions: definitions?,
                tables: tables?,
                api_addr: api_addr?,
                admin_addr: admin_addr?,
                keys: keys?,
                webhook_allow: allow?.unwrap_or_default(),
                webhook_deny: deny?.unwrap_or_default(),
                edge: edge?,
                oidc: oidc?,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn a_wrong_key_is_reported_with_the_rest_and_never_quoted() {
        let vars =
            Vars::of([("TIDEMARK_SECRET_KEY", "c2hvcnQ="), ("TIDEMARK_API_ADDR", "8080"), ("TIDEMARK_WEBHOOK_DENY_CIDRS", "x")]);
        let report = Settings::read(&vars).expect_err("four settings are wrong").to_string();
        for name in ["TIDEMARK_DEFINITIONS", "TIDEMARK_API_ADDR", "TIDEMARK_SECRET_KEY", "TIDEMARK_WEBHOOK_DENY_CIDRS"] {
            assert!(report.contains(name), "{report}");
        }
        assert!(!report.contains("c2hvcnQ"), "{report}");
    }

    #[test]
    fn settings_have_their_documented_defaults() {
        let key = STANDARD.encode([7; 32]);
        let settings =
            Settings::read(&Vars::of([("TIDEMARK_DEFINITIONS", "d.yaml"), ("TIDEMARK_SECRET_KEY", &key)])).expect("complete");
        assert_eq!(settings.tables, Tables { data: "tidemark".into(), control: "tidemark-control".into() });
        assert_eq!((settings.api_addr.port(), settings.admin_addr.port()), (8080, 9090));
        assert_eq!(*settings.keys.current, [7; 32]);
        assert!(!format!("{settings:?}").contains("7, 7"), "the key is not shown");
    }
}
