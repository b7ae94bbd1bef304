//! What the API needs to know before it starts, from the environment or from whoever runs it in its own process.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tidemark_runtime::settings::deployment::{ADMIN_ADDR, CONTROL_TABLE, DEFINITIONS, TABLE};
use tidemark_runtime::settings::{Invalid, Reader, Setting, Vars, parse};
use tidemark_runtime::telemetry::RUST_LOG;
use tidemark_store::Tables;

/// The setting that says where the API listens.
pub const API_ADDR: Setting = Setting::with_default("TIDEMARK_API_ADDR", "0.0.0.0:8080", "where the API listens");
pub(crate) const SECRET_KEY: Setting = Setting::required("TIDEMARK_SECRET_KEY", "32 random bytes in base64: signs cursors");
pub(crate) const SECRET_KEY_PREVIOUS: Setting =
    Setting::optional("TIDEMARK_SECRET_KEY_PREVIOUS", "the key before, still accepted while keys are changed");

/// All of them, as `--help` lists them.
pub const ALL: [Setting; 8] =
    [DEFINITIONS, TABLE, CONTROL_TABLE, API_ADDR, ADMIN_ADDR, SECRET_KEY, SECRET_KEY_PREVIOUS, RUST_LOG];

/// The settings of one API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Path of the definition file.
    pub definitions: String,
    pub tables: Tables,
    pub api_addr: SocketAddr,
    pub admin_addr: SocketAddr,
    pub keys: SecretKeys,
}

/// The keys that cursors are signed with. Its `Debug` shows nothing of them.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKeys {
    /// Signs, and is accepted.
    pub current: [u8; 32],
    /// Only accepted.
    pub previous: Option<[u8; 32]>,
}

/// The text is no key. It is not shown: it may be nearly one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not 32 bytes in base64; make one with `openssl rand -base64 32`")]
pub struct NotAKey(());

impl Settings {
    /// # Errors
    /// Every variable that is missing or wrong, together.
    pub fn read(vars: &Vars) -> Result<Self, Invalid> {
        let mut reader = Reader::new(vars);
        let definitions = reader.read(&DEFINITIONS, parse::text);
        let data = reader.read(&TABLE, parse::text);
        let control = reader.read(&CONTROL_TABLE, parse::text);
        let api_addr = reader.read(&API_ADDR, parse::socket_address);
        let admin_addr = reader.read(&ADMIN_ADDR, parse::socket_address);
        let current = reader.read(&SECRET_KEY, secret_key);
        let previous = reader.read_optional(&SECRET_KEY_PREVIOUS, secret_key);
        reader.finish(|| {
            let tables = Tables { data: data?, control: control? };
            let keys = SecretKeys { current: current?, previous: previous? };
            Some(Self { definitions: definitions?, tables, api_addr: api_addr?, admin_addr: admin_addr?, keys })
        })
    }
}

fn secret_key(text: &str) -> Result<[u8; 32], NotAKey> {
    let bytes = STANDARD.decode(text.trim()).map_err(|_| NotAKey(()))?;
    bytes.try_into().map_err(|_| NotAKey(()))
}

impl std::fmt::Debug for SecretKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretKeys").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_key_is_reported_with_the_rest_and_never_quoted() {
        let vars = Vars::of([("TIDEMARK_SECRET_KEY", "c2hvcnQ="), ("TIDEMARK_API_ADDR", "8080")]);
        let report = Settings::read(&vars).expect_err("three settings are wrong").to_string();
        for name in ["TIDEMARK_DEFINITIONS", "TIDEMARK_API_ADDR", "TIDEMARK_SECRET_KEY"] {
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
        assert_eq!(settings.keys.current, [7; 32]);
        assert!(!format!("{settings:?}").contains('7'), "the key is not shown");
    }
}
