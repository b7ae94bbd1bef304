//! The proxy itself: takes a call, asks the judge, the limits and the script, and forwards, refuses or drops it.

use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use hyper::http::uri::{Authority, Scheme};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use super::Front;
use super::fault::Fault;
use super::judge::Workload;
use crate::server::Dropped;
use crate::stream_front::StreamFront;

type Answer = Response<Full<Bytes>>;

/// The emulator, as the front reaches it.
#[derive(Debug, Clone)]
pub(super) struct Upstream {
    authority: Authority,
    client: Client<HttpConnector, Full<Bytes>>,
    /// Answers the streams' calls in place of the emulator.
    streams: Option<Arc<StreamFront>>,
    /// Forwarded calls are tasks of their own, so that they outlive a client that hangs up.
    forwarded: TaskTracker,
}

pub(super) async fn relay(request: Request<Incoming>, upstream: Upstream, front: Front) -> Result<Answer, Dropped> {
    let answer = answer(request, upstream, &front).await;
    front.late.passed().await;
    answer
}

async fn answer(request: Request<Incoming>, upstream: Upstream, front: &Front) -> Result<Answer, Dropped> {
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
    let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let fault = front.script.decide(call_of(&parts.headers), &json);
    let workload = identify(&mut parts.headers);
    if let Some(workload) = workload
        && let Err(refusal) = front.judge.judge(workload, call_of(&parts.headers), &json)
    {
        return Ok(answer_with(StatusCode::BAD_REQUEST, &refusal.answer()));
    }
    if let Err(exceeded) = front.check_limits(workload, call_of(&parts.headers), &json) {
        return Ok(refuse(StatusCode::BAD_REQUEST, "ValidationException", json!({ "message": exceeded.to_string() })));
    }
    let request = Request::from_parts(parts, Full::new(body));
    match fault {
        None => Ok(upstream.forward(request, None).await),
        Some(Fault::Delay(delay)) => Ok(upstream.forward(request, Some(delay)).await),
        Some(Fault::Reset) => Err(Dropped),
        Some(Fault::CommitThenDrop) => {
            upstream.forward(request, None).await;
            Err(Dropped)
        }
        Some(Fault::Late(after)) => {
            front.late.keep(after, async move {
                upstream.forward(request, None).await;
            });
            Err(Dropped)
        }
        Some(Fault::Throttle) => {
            let message = json!({ "message": "the front throttles this call" });
            Ok(refuse(StatusCode::BAD_REQUEST, "ProvisionedThroughputExceededException", message))
        }
        Some(Fault::ThrottleIndex) => {
            let reason = json!({ "reason": "IndexWriteKeyRangeThroughputExceeded", "resource": "by_index" });
            let message = json!({ "message": "the front throttles this call", "throttlingReasons": [reason] });
            Ok(refuse(StatusCode::BAD_REQUEST, "ThrottlingException", message))
        }
        Some(Fault::Invalid) => {
            let message = json!({ "message": "the front finds this call invalid" });
            Ok(refuse(StatusCode::BAD_REQUEST, "ValidationException", message))
        }
        Some(Fault::Refused(code)) => {
            Ok(refuse(StatusCode::BAD_REQUEST, code, json!({ "message": "the front refuses this call" })))
        }
        Some(Fault::BackupsUnavailable) => {
            let message = json!({ "message": "Backups are being enabled for the table: please retry later" });
            Ok(refuse(StatusCode::BAD_REQUEST, "ContinuousBackupsUnavailableException", message))
        }
        Some(Fault::ServerError) => Ok(refuse(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServerError",
            json!({ "message": "the front fails this call" }),
        )),
        Some(Fault::TransactionConflict) => Ok(conflict(&json)),
    }
}

/// The call's name: what follows the service and its version in `DynamoDB_20120810.PutItem`.
fn call_of(headers: &HeaderMap) -> &str {
    target_of(headers).rsplit('.').next().unwrap_or_default()
}

/// The workload that signed a call. The emulator gets to see the world's own access key, for DynamoDB Local has a database for each.
fn identify(headers: &mut HeaderMap) -> Option<Workload> {
    let signed = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (start, rest) = signed.split_once("Credential=")?;
    let (key, scope) = rest.split_once('/')?;
    let (workload, key) = Workload::of_access_key(key)?;
    let signed = format!("{start}Credential={key}/{scope}");
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&signed).expect("it was a header before"));
    Some(workload)
}

fn target_of(headers: &HeaderMap) -> &str {
    headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default()
}

/// What DynamoDB answers to a request that meets a transaction under way. A transaction gets one reason per item, in order.
fn conflict(request: &Value) -> Answer {
    let Some(items) = request["TransactItems"].as_array() else {
        let message = json!({ "message": "Transaction is ongoing for the item" });
        return refuse(StatusCode::BAD_REQUEST, "TransactionConflictException", message);
    };
    let mut codes = vec!["None"; items.len()];
    if let Some(first) = codes.first_mut() {
        *first = "TransactionConflict";
    }
    let message = format!("Transaction cancelled, please refer cancellation reasons for specific reasons [{}]", codes.join(", "));
    let reasons: Vec<Value> = codes.iter().map(|code| json!({ "Code": code })).collect();
    let detail = json!({ "Message": message, "CancellationReasons": reasons });
    refuse(StatusCode::BAD_REQUEST, "TransactionCanceledException", detail)
}

fn refuse(status: StatusCode, error: &str, mut detail: Value) -> Answer {
    detail["__type"] = format!("com.amazonaws.dynamodb.v20120810#{error}").into();
    answer_with(status, &detail)
}

fn answer_with(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
    answer
}

impl Upstream {
    /// # Errors
    /// When the URL is not one of a plain HTTP server.
    pub(super) fn new(url: &str, streams: Option<Arc<StreamFront>>) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("`{url}` is no URL"))?;
        anyhow::ensure!(uri.scheme() == Some(&Scheme::HTTP), "`{url}` does not begin with http://");
        let authority = uri.authority().with_context(|| format!("`{url}` names no host"))?.clone();
        let client = Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { authority, client, streams, forwarded: TaskTracker::new() })
    }

    /// Hands a request to the emulator, after a delay if there is one, and returns its answer.
    async fn forward(&self, request: Request<Full<Bytes>>, delay: Option<std::time::Duration>) -> Answer {
        let upstream = self.clone();
        let forwarded = self.forwarded.spawn(async move {
            if let Some(delay) = delay {
                tokio::time::sleep(delay).await;
            }
            match upstream.streams.clone() {
                Some(streams) => upstream.exchange_beside(&streams, request).await,
                None => upstream.exchange(request).await,
            }
        });
        match forwarded.await.expect("forwarding does not panic") {
            Ok(answer) => answer,
            Err(error) => refuse(StatusCode::BAD_GATEWAY, "InternalServerError", json!({ "message": format!("{error:#}") })),
        }
    }

    /// Leaves the streams' calls to the stream front, and the table's part in them.
    async fn exchange_beside(&self, streams: &StreamFront, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        let (service, call) = target_of(request.headers()).split_once('.').unwrap_or_default();
        let (is_streams, call) = (service.starts_with("DynamoDBStreams"), call.to_owned());
        if is_streams {
            let body = request.into_body().collect().await?.to_bytes();
            return Ok(match streams.answer(&call, &serde_json::from_slice(&body)?).await? {
                Ok(answer) => answer_with(StatusCode::OK, &answer),
                Err(refusal) => refuse(StatusCode::BAD_REQUEST, refusal.code, json!({ "message": refusal.message })),
            });
        }
        let answer = self.exchange(request).await?;
        if call != "DescribeTable" || !answer.status().is_success() {
            return Ok(answer);
        }
        let mut description: Value = serde_json::from_slice(&answer.into_body().collect().await?.to_bytes())?;
        streams.describe_in(&mut description["Table"]).await?;
        Ok(answer_with(StatusCode::OK, &description))
    }

    async fn exchange(&self, mut request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() =
            Uri::builder().scheme(Scheme::HTTP).authority(self.authority.clone()).path_and_query(path).build()?;
        let (mut parts, body) = self.client.request(request).await?.into_parts();
        // The body is passed on whole, and the connection is the front's own.
        parts.headers.remove(TRANSFER_ENCODING);
        parts.headers.remove(CONNECTION);
        Ok(Response::from_parts(parts, Full::new(body.collect().await?.to_bytes())))
    }
}
