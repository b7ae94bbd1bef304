//! The emulator, as this crate's own parts ask it: past every front, in DynamoDB's JSON.

use anyhow::Context;
use dynoxide::Database;
use jiff::Timestamp;
use serde_json::Value;

use crate::embedded;

/// An emulator, by HTTP or in this process.
#[derive(Clone)]
pub(crate) enum Origin {
    Http {
        client: reqwest::Client,
        url: String,
        access_key: String,
    },
    /// Tables count as created at this instant: the emulator stamps them with the machine's time, whatever clock it is given.
    Embedded(Database, Timestamp),
}

impl Origin {
    /// # Errors
    /// When there can be no HTTP client.
    pub(crate) fn at(url: &str, access_key: &str) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self::Http { client, url: url.to_owned(), access_key: access_key.to_owned() })
    }

    /// The body of the answer, be it a refusal. `target` names service and call, as `X-Amz-Target` does.
    ///
    /// # Errors
    /// When the emulator cannot be reached, or does not answer in JSON.
    pub(crate) async fn call(&self, target: &str, request: &Value) -> anyhow::Result<Value> {
        match self {
            Self::Embedded(database, created_at) => {
                let call = target.rsplit('.').next().unwrap_or_default();
                let (_, body) = embedded::answer(database, call, &request.to_string());
                let mut answer: Value = serde_json::from_str(&body).context("the emulator answers in JSON")?;
                if let Some(created) = answer.pointer_mut("/Table/CreationDateTime") {
                    *created = created_at.as_second().into();
                }
                Ok(answer)
            }
            Self::Http { client, url, access_key } => {
                // Emulators check the form of a signature, not the signature; DynamoDB Local takes the access key from it.
                let scope = format!("{access_key}/20260101/us-east-1/dynamodb/aws4_request");
                let authorization =
                    format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date;x-amz-target, Signature=0");
                let request = client
                    .post(url)
                    .header("authorization", authorization)
                    .header("content-type", "application/x-amz-json-1.0")
                    .header("x-amz-date", "20260101T000000Z")
                    .header("x-amz-target", target)
                    .body(request.to_string());
                Ok(request.send().await?.json().await?)
            }
        }
    }
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Http { url, .. } => f.debug_tuple("Http").field(url).finish(),
            Self::Embedded(..) => f.write_str("Embedded"),
        }
    }
}
