//! How Tidemark reaches AWS: one shared SDK configuration, with the same time-outs and retries everywhere.
//!
//! An attempt of 5 s inside an operation of 15 s leaves room for two retries; a conditional write that times out is *unknown*
//! to its caller, so a longer wait would only delay reading it back.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_types::SdkConfig;

pub mod calls;

/// Longest wait for a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for the answer to one attempt.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for an operation, its retries included.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(15);
/// Attempts of one operation, the first included.
pub const ATTEMPTS: u32 = 3;

/// Why there is no way to AWS.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "AWS_REGION: not set, and neither the profile nor the instance metadata name a region; \
         set it to the region of the tables, such as eu-central-1 (with AWS_ENDPOINT_URL any name will do)"
    )]
    NoRegion,
    /// The SDK's HTTP client panics where it finds none, whether TLS is to be spoken or not.
    #[error("no certificate authorities are found here: install ca-certificates, or set SSL_CERT_FILE to a file that has them")]
    NoAuthorities,
}

/// The configuration of the standard provider chain: `AWS_*` variables, profile, web identity, container, instance metadata.
///
/// Credentials are looked up at the first call, not here.
///
/// # Errors
/// [`Error::NoAuthorities`], and [`Error::NoRegion`] when the chain names no region.
pub async fn from_environment() -> Result<SdkConfig, Error> {
    if rustls_native_certs::load_native_certs().certs.is_empty() {
        return Err(Error::NoAuthorities);
    }
    let config = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts()).retry_config(retries()).load().await;
    if config.region().is_none() {
        return Err(Error::NoRegion);
    }
    Ok(config)
}

/// The configuration for an emulator at a plain `http://` URL, for `tidemark dev` and tests: static credentials, region
/// `us-east-1`, and no look at `AWS_*` variables, profiles, proxies or the metadata service.
pub fn at_endpoint(url: &str, access_key: &str) -> SdkConfig {
    // No expiry, no session token: an emulator checks no signature. DynamoDB Local keeps one database per access key.
    let credentials = Credentials::new(access_key, "secret", None, None, "tidemark-emulator");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .endpoint_url(url)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        // The default client would load TLS roots and obey HTTP_PROXY; this one does neither.
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .timeout_config(timeouts())
        .retry_config(retries())
        .build()
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build()
}

fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(ATTEMPTS)
}
