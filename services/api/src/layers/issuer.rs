//! Requests with an access token wait here until the keys of the issuer are known, before they take one of the places for requests: an
//! issuer that does not answer then holds no place, and requests with an API key are not affected. `auth/oidc` bounds how many wait.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::auth::{self, oidc::Tokens};
use crate::problem::{ApiError, Unavailable};

/// `None`: the API accepts no tokens.
pub(crate) async fn layer(State(tokens): State<Option<Tokens>>, request: Request, next: Next) -> Response {
    if let Some(tokens) = &tokens
        && let Some(token) = auth::token(request.headers())
        && tokens.await_keys(token).await.is_err()
    {
        return ApiError::Unavailable(Unavailable::Issuer).into_response();
    }
    next.run(request).await
}
