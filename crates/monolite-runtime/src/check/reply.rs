//! The names of an object's fields, by its schema.

use schemars::{Schema, SchemaGenerator};
use serde_json::Value;
use std::collections::HashSet;

/// The fields of a type that is an object; none for another.
pub(super) fn properties(schema: fn(&mut SchemaGenerator) -> Schema) -> Option<HashSet<String>> {
    let mut generator = SchemaGenerator::default();
    let schema = schema(&mut generator);
    let referred = schema.get("$ref").and_then(Value::as_str).and_then(|r| r.rsplit('/').next());
    let found = match referred {
        Some(name) => generator.definitions().get(name).and_then(|d| d.get("properties")),
        None => schema.get("properties"),
    };
    found.and_then(Value::as_object).map(|p| p.keys().cloned().collect())
}
