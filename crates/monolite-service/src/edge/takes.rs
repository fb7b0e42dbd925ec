//! What a message takes from a request, learnt once from its schema.

use crate::message::Message;
use schemars::SchemaGenerator;
use serde_json::Value;

/// The fields of a message, as an edge sees them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Takes {
    /// The names of its fields.
    pub fields: Vec<String>,
    /// It has a field `page` that is filled from `limit` and `cursor`.
    pub page: bool,
    /// It has a field `if_match` that is filled from the caller's precondition.
    pub if_match: bool,
    /// It has a field `body`: that is the request's whole body, any JSON, and its other fields come from path and query.
    pub body: bool,
}

impl Takes {
    /// What a message takes.
    pub fn of<M: Message>() -> Takes {
        let mut generator = SchemaGenerator::default();
        let schema = generator.root_schema_for::<M>();
        let Some(Value::Object(properties)) = schema.get("properties") else { return Takes::default() };
        let is_page = |p: &Value| p.get("$ref").and_then(Value::as_str).is_some_and(|r| r.ends_with("/PageOf"));
        Takes {
            page: properties.get("page").is_some_and(is_page),
            if_match: properties.contains_key("if_match"),
            body: properties.contains_key("body"),
            fields: properties.keys().cloned().collect(),
        }
    }
}
