//! How Tidemark reaches AWS: one shared SDK configuration, with the same time-outs and retries everywhere.
//!
//! An attempt of 5 s inside an operation of 15 s leaves room for two retries; a conditional write that times out is *unknown*
//! to its caller, so a longer wait would only delay reading it back.

use std::ops::RangeInclusive;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_types::SdkConfig;

use crate::settings::{NotUnicode, Vars};

pub mod calls;

/// Longest wait for a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for the answer to one attempt.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for an operation, its retries included.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(15);
/// Attempts of one operation, the first included.
pub const ATTEMPTS: u32 = 3;

/// The variables that lead the SDK to another DynamoDB.
const ENDPOINTS: [&str; 3] = ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_DYNAMODB_STREAMS"];
/// How long the name of a region can be: it is a part of a host's name.
const REGION_LENGTHS: RangeInclusive<usize> = 1..=63;

/// Why there is no way to AWS.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "AWS_REGION: not set, and neither the profile nor the instance metadata name a region; \
         set it to the region of the tables, such as eu-central-1 (with AWS_ENDPOINT_URL any name will do)"
    )]
    NoRegion,
    #[error("AWS_REGION, or the region of the profile: `{0}` is no region's name; give one such as eu-central-1")]
    Region(String),
    /// The SDK would tell of it with each call, and with the whole of the call.
    #[error("{name}: `{text}` is no address; give one such as http://localhost:8000, or unset it for AWS itself")]
    Endpoint { name: &'static str, text: String },
    #[error("{name}: {problem}")]
    NotUnicode { name: &'static str, problem: NotUnicode },
    /// The SDK's HTTP client panics where it finds none, whether TLS is to be spoken or not.
    #[error("no certificate authorities are found here: install ca-certificates, or set SSL_CERT_FILE to a file that has them")]
    NoAuthorities,
}

/// The configuration of the standard provider chain: `AWS_*` variables, profile, web identity, container, instance metadata.
///
/// Credentials are looked up at the first call, not here.
///
/// # Errors
/// [`Error`]: what would have every call fail.
pub async fn from_environment() -> Result<SdkConfig, Error> {
    if rustls_native_certs::load_native_certs().certs.is_empty() {
        return Err(Error::NoAuthorities);
    }
    let vars = Vars::from_process();
    for name in ENDPOINTS {
        check_endpoint(name, &vars)?;
    }
    let config = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts()).retry_config(retries()).load().await;
    check_region(config.region().map(Region::as_ref))?;
    Ok(config)
}

fn check_endpoint(name: &'static str, vars: &Vars) -> Result<(), Error> {
    let Some(text) = vars.get_even_empty(name).map_err(|problem| Error::NotUnicode { name, problem })? else { return Ok(()) };
    let url = reqwest::Url::parse(text).ok();
    if url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
        Ok(())
    } else {
        Err(Error::Endpoint { name, text: text.to_owned() })
    }
}

/// The SDK takes what can be a part of a host's name.
fn check_region(region: Option<&str>) -> Result<(), Error> {
    let region = region.ok_or(Error::NoRegion)?;
    let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'-';
    if REGION_LENGTHS.contains(&region.len()) && region.bytes().all(allowed) && !region.starts_with('-') {
        Ok(())
    } else {
        Err(Error::Region(region.to_owned()))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_the_address_of_a_host() {
        let check = |text: &str| check_endpoint("AWS_ENDPOINT_URL", &Vars::of([("AWS_ENDPOINT_URL", text)]));
        for good in ["http://localhost:8000", "https://dynamodb.eu-central-1.amazonaws.com/", "http://[::1]:8000"] {
            assert!(check(good).is_ok(), "{good}");
        }
        assert!(check_endpoint("AWS_ENDPOINT_URL", &Vars::default()).is_ok());
        // The SDK panics at the empty one.
        for bad in ["", "nonsense", "localhost:8000", "http://", "ftp://localhost"] {
            let told = check(bad).expect_err(bad).to_string();
            assert!(told.starts_with(&format!("AWS_ENDPOINT_URL: `{bad}` is no address; ")), "{told}");
        }
    }

    #[test]
    fn a_region_is_a_part_of_a_hosts_name() {
        for good in ["eu-central-1", "local", "us-gov-east-1"] {
            assert!(check_region(Some(good)).is_ok(), "{good}");
        }
        assert!(matches!(check_region(None), Err(Error::NoRegion)));
        for bad in ["", "no such region", "x_y", "a.b", "-a", &"a".repeat(64)] {
            assert!(matches!(check_region(Some(bad)), Err(Error::Region(_))), "{bad}");
        }
    }
}
