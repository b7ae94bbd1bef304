//! Every operation of the document, with what it takes to call it: no route is left out of a test that goes over all.

use reqwest::Method;
use serde_json::Value;
use tidemark_tests::{Answer, Client};

/// Ids of things that are not there, by the address they stand in.
const UNKNOWN: [(&str, &str); 8] = [
    ("/v1/quarantine/", "qua_20260330_orders_4700000000001"),
    ("/v1/alert-rules/", "rul_01ARZ3NDEKTSV4RRFFQ69G5FAW"),
    ("/v1/alerts/", "alr_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    ("/v1/webhook-endpoints/", "ep_01ARZ3NDEKTSV4RRFFQ69G5FAY"),
    ("/v1/deliveries/", "dlv_01ARZ3NDEKTSV4RRFFQ69G5FAX01ARZ3NDEKTSV4RRFFQ69G5FAY"),
    ("/v1/inventory/", "none"),
    ("/v1/api-keys/", "019d3e0fd6c85b9a10fe"),
    ("/v1/admin/tenants/", "none"),
];

/// One documented operation.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub method: Method,
    /// With `{id}` where it names something.
    pub template: String,
    /// The scope it takes.
    pub scope: String,
    /// The names of its query parameters, with a dimension where it filters by one.
    pub query: Vec<String>,
    /// The example of its body.
    pub body: Option<Value>,
}

/// All of them.
pub(super) async fn all(client: &Client) -> Vec<Operation> {
    let document = client.get("/openapi.json").await.json();
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let security = operation.get("security").unwrap_or(&document["security"]);
            operations.push(Operation {
                method: method.to_uppercase().parse().unwrap(),
                template: path.replace("{item}", "{id}"),
                query: query(operation),
                scope: security[0]["api_key"][0].as_str().expect("a scope").to_owned(),
                body: body(&document, operation),
            });
        }
    }
    assert!(operations.len() >= 46, "operations are missing: {operations:?}");
    operations
}

fn query(operation: &Value) -> Vec<String> {
    let parameters = operation["parameters"].as_array().into_iter().flatten().filter(|parameter| parameter["in"] == "query");
    let name = |parameter: &Value| match parameter["name"].as_str().expect("a name") {
        "filter" => "filter[item]".to_owned(),
        name => name.to_owned(),
    };
    parameters.map(name).collect()
}

fn body(document: &Value, operation: &Value) -> Option<Value> {
    let content = operation["requestBody"]["content"].get("application/json")?;
    let reference = content["schema"]["$ref"].as_str().expect("a named schema");
    document.pointer(reference.trim_start_matches('#')).map(|schema| schema["example"].clone())
}

impl Operation {
    /// Whether it takes an operator's key, and no other.
    pub(super) fn is_operators(&self) -> bool {
        self.scope == "operator"
    }

    /// Its address with an id of something that is not there.
    pub(super) fn path(&self) -> String {
        let unknown = UNKNOWN.iter().find(|(start, _)| self.template.starts_with(start)).map(|(_, id)| *id);
        self.path_of(unknown.unwrap_or_default())
    }

    /// Its address with an id.
    pub(super) fn path_of(&self, id: &str) -> String {
        let path = self.template.replace("{metric}", "sales").replace("{name}", "item").replace("{id}", id);
        assert!(!path.contains('{') && !path.contains("//"), "a case is missing: {path}");
        path
    }

    /// Whether it changes something and takes no word about how.
    pub(super) fn takes_no_body(&self) -> bool {
        self.method != Method::GET && self.body.is_none()
    }

    /// Calls it with its example's body.
    pub(super) async fn call(&self, client: &Client, path: &str) -> Answer {
        match &self.body {
            Some(body) => client.send_json(self.method.clone(), path, &[], body).await,
            None => client.send(self.method.clone(), path, &[]).await,
        }
    }
}
