//! The settings that several of Tidemark's processes share.

use super::Setting;

pub const DEFINITIONS: Setting = Setting::required("TIDEMARK_DEFINITIONS", "path of the definition file");
pub const TABLE: Setting = Setting::with_default("TIDEMARK_TABLE", "tidemark", "name of the data table");
pub const CONTROL_TABLE: Setting =
    Setting::with_default("TIDEMARK_CONTROL_TABLE", "tidemark-control", "name of the table of leases, positions and definitions");
pub const ADMIN_ADDR: Setting =
    Setting::with_default("TIDEMARK_ADMIN_ADDR", "0.0.0.0:9090", "where probes and metrics are answered");

/// This machine's name, as the kernel has it: what a pod is called.
pub fn host_name() -> String {
    let name = gethostname::gethostname().to_string_lossy().into_owned();
    if name.is_empty() { "worker".to_owned() } else { name }
}
