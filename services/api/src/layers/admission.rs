//! The limits of a request's key and tenant, in the headers of its answer. They are applied in `auth.rs`, once the key is known. How long
//! the answer holds what it took, `held.rs` says.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

use crate::limits::Admission;

pub(crate) async fn layer(mut request: Request, next: Next) -> Response {
    let admission = Admission::default();
    request.extensions_mut().insert(admission.clone());
    let mut response = next.run(request).await;
    admission.write(response.headers_mut());
    response
}
