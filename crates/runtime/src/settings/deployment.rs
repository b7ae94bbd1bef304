//! The settings that several of Tidemark's processes share.

use super::Setting;

pub const DEFINITIONS: Setting = Setting::required("TIDEMARK_DEFINITIONS", "path of the definition file");
pub const TABLE: Setting = Setting::with_default("TIDEMARK_TABLE", "tidemark", "name of the data table");
pub const CONTROL_TABLE: Setting =
    Setting::with_default("TIDEMARK_CONTROL_TABLE", "tidemark-control", "name of the table of leases, positions and definitions");
pub const ADMIN_ADDR: Setting =
    Setting::with_default("TIDEMARK_ADMIN_ADDR", "0.0.0.0:9090", "where probes and metrics are answered");
pub const SECRET_KEY: Setting =
    Setting::required("TIDEMARK_SECRET_KEY", "32 random bytes in base64: encrypts webhook secrets, signs cursors");
pub const SECRET_KEY_PREVIOUS: Setting =
    Setting::optional("TIDEMARK_SECRET_KEY_PREVIOUS", "the key before, still accepted while keys are changed");
pub const WEBHOOK_ALLOW_CIDRS: Setting =
    Setting::optional("TIDEMARK_WEBHOOK_ALLOW_CIDRS", "private networks that webhooks may be sent to, separated by commas");
pub const WEBHOOK_DENY_CIDRS: Setting =
    Setting::optional("TIDEMARK_WEBHOOK_DENY_CIDRS", "further networks that webhooks must never reach, separated by commas");

/// This machine's name, as the kernel has it: what a pod is called.
pub fn host_name() -> String {
    let name = gethostname::gethostname().to_string_lossy().into_owned();
    if name.is_empty() { "worker".to_owned() } else { name }
}
