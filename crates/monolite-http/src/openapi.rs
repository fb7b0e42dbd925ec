//! The OpenAPI 3.1 document, made from the same message types that are served.
//!
//! **Invariants**
//! - Every route is in it, once; its `operationId` is the message's full name.
//! - Where a field comes from (path, query, header, body) follows the same rules as the edge itself.

use crate::stream;
use crate::table::{PREFIX, is_secret, params_of, schema_of};
use monolite_runtime::Route;
use monolite_service::{Access, Method};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const SCHEMAS: &str = "/components/schemas";
const JSON: &str = "application/json";

/// The OpenAPI 3.1 document of these routes.
pub fn document(routes: &[Route], title: &str, version: &str) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.definitions_path = SCHEMAS.into());
    let mut generator = settings.into_generator();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut ids: BTreeMap<&str, usize> = BTreeMap::new();
    for route in routes {
        let times = ids.entry(route.message).or_default();
        *times += 1;
        let id = if *times == 1 { route.message.to_owned() } else { format!("{}.{times}", route.message) };
        let operation = operation(route, &id, &mut generator);
        let path = paths.entry(format!("{PREFIX}{}", route.path.replace("{*", "{"))).or_default();
        path.insert(route.method.as_str().to_ascii_lowercase(), operation);
    }
    let mut schemas = generator.take_definitions(true);
    schemas.insert("Problem".to_owned(), problem());
    json!({
        "openapi": "3.1.0",
        "info": { "title": title, "version": version },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
            "responses": {
                "Problem": {
                    "description": "Why not (RFC 9457); `code` is stable.",
                    "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } }
                }
            }
        }
    })
}

fn operation(route: &Route, id: &str, generator: &mut SchemaGenerator) -> Value {
    let message = (route.schemas.message)(generator).to_value();
    let refusal = (route.schemas.refusal)(generator).to_value();
    let fields = Fields::of(&message, generator);
    let mut operation = json!({
        "operationId": id,
        "tags": [route.service],
        "parameters": parameters(route, &fields),
        "responses": responses(route, generator),
        "security": match route.access { Access::Anyone => json!([]), _ => json!([{ "bearer": [] }]) },
        "x-refusal": refusal,
    });
    let object = operation.as_object_mut().expect("an operation is an object");
    if let Some(description) = fields.description {
        object.insert("description".to_owned(), description);
    }
    if let Access::Role(role) = route.access {
        object.insert("x-role".to_owned(), role.into());
    }
    if let Some(body) = request_body(route, &message, &fields.properties, &fields.required) {
        object.insert("requestBody".to_owned(), body);
    }
    operation
}

/// The fields of a message.
struct Fields {
    properties: Map<String, Value>,
    required: Vec<String>,
    description: Option<Value>,
}

impl Fields {
    fn of(message: &Value, generator: &SchemaGenerator) -> Self {
        let named = message.get("$ref").and_then(Value::as_str).and_then(|r| r.rsplit('/').next());
        let schema = named.and_then(|name| generator.definitions().get(name)).unwrap_or(message);
        let required = schema.get("required").and_then(Value::as_array);
        Fields {
            properties: schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default(),
            required: required.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
            description: schema.get("description").cloned(),
        }
    }
}

fn takes_body(route: &Route) -> bool {
    matches!(route.method, Method::Post | Method::Put | Method::Patch)
}

/// Fields that never come in the body, and are listed as parameters or headers.
fn is_filled(route: &Route, name: &str) -> bool {
    (name == "page" && route.takes.page) || (name == "if_match" && route.takes.if_match)
}

fn parameters(route: &Route, fields: &Fields) -> Value {
    let mut parameters = Vec::new();
    for name in params_of(route.path) {
        let schema = fields.properties.get(name).cloned().unwrap_or(json!({ "type": "string" }));
        parameters.push(json!({ "name": name, "in": "path", "required": true, "schema": schema }));
    }
    let in_query = !takes_body(route) || route.takes.body || route.is_upload;
    let whole = schema_of(route);
    for (name, schema) in &fields.properties {
        // Beside a body of fields, optional ones may come in the query too; passwords never.
        if !in_query && fields.required.contains(name) || is_secret(&whole, name) {
            continue;
        }
        if let Some(header) = stream::header_of(name).filter(|_| route.receives) {
            parameters.push(json!({ "name": header, "in": "header", "schema": { "type": "string" }, "description": schema["description"] }));
            continue;
        }
        let is_body =
            takes_body(route) && (name == "body" && route.takes.body || name == "content_type" && route.is_upload);
        if is_body || is_filled(route, name) || params_of(route.path).any(|param| param == name) {
            continue;
        }
        let required = fields.required.contains(name);
        let mut parameter = json!({ "name": name, "in": "query", "required": required, "schema": schema });
        if let (Some(description), Some(object)) = (schema.get("description"), parameter.as_object_mut()) {
            object.insert("description".to_owned(), description.clone());
        }
        parameters.push(parameter);
    }
    if route.takes.page {
        let limit = json!({ "type": "integer", "minimum": 1 });
        parameters
            .push(json!({ "name": "limit", "in": "query", "schema": limit, "description": "Most items of the page." }));
        let cursor = json!({ "type": "string" });
        parameters.push(json!({ "name": "cursor", "in": "query", "schema": cursor, "description": "The `next` of the page before." }));
    }
    let tag = json!({ "type": "string" });
    if route.streams {
        for (name, what) in [
            ("Range", "One range of bytes; 206 with it, 416 where it lies behind the end."),
            ("If-Range", "The `ETag` of which the part must be; else the whole is answered."),
        ] {
            parameters.push(json!({ "name": name, "in": "header", "schema": tag, "description": what }));
        }
    }
    let if_match = match route.method {
        _ if route.takes.if_match => Some("The `ETag` the change rests on; 412 when it is stale."),
        Method::Get => {
            Some("The `ETag` of the version that is wanted; 412 when another one is current, or the answer has none.")
        }
        _ => None,
    };
    if let Some(what) = if_match {
        parameters.push(json!({ "name": "If-Match", "in": "header", "schema": tag, "description": what }));
    }
    if route.method == Method::Get {
        parameters.push(json!({ "name": "If-None-Match", "in": "header", "schema": tag, "description": "A known `ETag`; 304 when it is current." }));
        parameters.push(json!({ "name": "Monolite-At-Least", "in": "header", "schema": { "type": "string" }, "description": "Commits that the answer must not be older than, such as `Users=123`; 412 where they do not come." }));
    }
    Value::Array(parameters)
}

fn request_body(route: &Route, message: &Value, properties: &Map<String, Value>, required: &[String]) -> Option<Value> {
    if !takes_body(route) {
        return None;
    }
    if route.is_upload {
        return Some(json!({ "required": true, "content": { "application/octet-stream": {} } }));
    }
    if route.takes.body {
        let schema = properties.get("body").cloned().unwrap_or(Value::Bool(true));
        return Some(json!({ "required": true, "content": { JSON: { "schema": schema } } }));
    }
    let elsewhere = |name: &str| is_filled(route, name) || params_of(route.path).any(|param| param == name);
    let inner: Map<String, Value> = properties
        .iter()
        .filter(|(name, _)| !elsewhere(name))
        .map(|(name, schema)| (name.clone(), schema.clone()))
        .collect();
    if inner.is_empty() {
        return None;
    }
    let needed: Vec<&String> = required.iter().filter(|name| !elsewhere(name)).collect();
    let is_whole = inner.len() == properties.len() && message.get("$ref").is_some();
    let schema = if is_whole {
        message.clone()
    } else {
        json!({ "type": "object", "properties": inner, "required": needed, "additionalProperties": false })
    };
    Some(json!({ "required": !needed.is_empty(), "content": { JSON: { "schema": schema } } }))
}

fn responses(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let reply = (route.schemas.reply)(generator).to_value();
    let is_nothing = reply.get("type").and_then(Value::as_str) == Some("null");
    let string = json!({ "schema": { "type": "string" } });
    let mut headers = json!({ "Server-Timing": string, "ETag": string });
    if takes_body(route) || route.method == Method::Delete {
        headers["Monolite-Commit"] = string.clone();
    }
    if route.receives || route.streams {
        for name in ["Upload-Offset", "Upload-Complete", "Upload-Length"] {
            headers[name] = string.clone();
        }
    }
    let (status, mut response) = match (route.creates, is_nothing) {
        (Some(_), _) => {
            headers["Location"] = string.clone();
            ("201", json!({ "description": "It was created." }))
        }
        (None, true) => ("204", json!({ "description": "It was done." })),
        (None, false) => ("200", json!({ "description": "The reply." })),
    };
    if route.streams {
        response["content"] = json!({ "*/*": {} });
    } else if !is_nothing {
        response["content"] = json!({ JSON: { "schema": reply } });
    }
    response["headers"] = headers;
    let mut all = json!({ status: response, "default": { "$ref": "#/components/responses/Problem" } });
    if route.streams {
        let headers = json!({ "Content-Range": string, "ETag": string });
        all["206"] =
            json!({ "description": "The part that was asked for.", "content": { "*/*": {} }, "headers": headers });
        let behind = json!({ "$ref": "#/components/schemas/Problem" });
        all["416"] = json!({
            "description": "The part lies behind the end.",
            "content": { "application/problem+json": { "schema": behind } },
            "headers": { "Content-Range": string }
        });
    }
    if route.method == Method::Get {
        all["304"] = json!({ "description": "The known `ETag` is current." });
    }
    all
}

fn problem() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "properties": {
            "type": text, "title": text, "detail": text, "instance": text, "code": text, "service": text, "trace_id": text,
            "status": { "type": "integer" },
            "retryable": { "type": "boolean" },
            "errors": { "type": "array", "items": {
                "type": "object",
                "properties": { "pointer": text, "code": text, "detail": text },
                "required": ["pointer", "code", "detail"]
            } }
        },
        "required": ["type", "title", "status", "detail", "code", "retryable"]
    })
}
