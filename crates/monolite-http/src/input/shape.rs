//! The shape of a message: its JSON Schema, compiled once into what the edge checks while it reads.
//!
//! Only what a schema made from Rust types says for certain is checked here (names, JSON types, required members);
//! an enum of several forms is `Any`, and the decoder has the last word.
//!
//! **Invariants**
//! - A value that the decoder accepts is never refused, but for members that the schema does not name.
//!
//! Never here: ranges, formats, a service's own validation.

use serde_json::Value;
use std::collections::HashMap;

/// Names a shape among [`Shapes`].
pub(crate) type ShapeId = u32;

/// What a JSON value must look like.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Any,
    Null,
    Bool,
    Integer,
    Number,
    Text,
    Uuid,
    Array(ShapeId),
    Object(Members),
}

/// The members of an object.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Members {
    pub(crate) named: Vec<(Box<str>, ShapeId)>,
    pub(crate) required: Vec<Box<str>>,
    /// The shape of members that are not named; `None` refuses them.
    pub(crate) rest: Option<ShapeId>,
}

/// One shape.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shape {
    pub(crate) kind: Kind,
    pub(crate) nullable: bool,
}

/// All shapes of one schema; the first is the shape that takes anything.
#[derive(Debug, Clone)]
pub(crate) struct Shapes {
    shapes: Vec<Shape>,
    root: ShapeId,
}

/// The shape that takes anything.
pub(crate) const ANY: ShapeId = 0;

impl Shapes {
    /// Compiles a schema with its `$defs`.
    pub(crate) fn of(schema: &Value) -> Self {
        let mut compiler = Compiler {
            shapes: vec![Shape { kind: Kind::Any, nullable: true }],
            defs: schema.get("$defs"),
            known: HashMap::new(),
        };
        let root = compiler.compile(schema);
        Shapes { shapes: compiler.shapes, root }
    }

    pub(crate) fn root(&self) -> ShapeId {
        self.root
    }

    pub(crate) fn at(&self, id: ShapeId) -> &Shape {
        &self.shapes[id as usize]
    }

    /// The members of the outermost object, if it is one.
    pub(crate) fn members(&self) -> Option<&Members> {
        match &self.at(self.root).kind {
            Kind::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The shape of a member of the outermost object.
    pub(crate) fn member(&self, name: &str) -> Option<ShapeId> {
        self.members()?.find(name)
    }
}

impl Members {
    pub(crate) fn find(&self, name: &str) -> Option<ShapeId> {
        self.named.iter().find(|(known, _)| **known == *name).map(|(_, shape)| *shape)
    }
}

impl Kind {
    /// What is wrong with a text of a path or a query as a value of this kind.
    pub(crate) fn mismatch(&self, text: &str) -> Option<String> {
        let fits = match self {
            Kind::Bool => matches!(text, "true" | "false"),
            Kind::Integer => is_integer(text),
            Kind::Number => text.parse::<f64>().is_ok_and(f64::is_finite),
            Kind::Uuid => is_uuid(text),
            _ => true,
        };
        (!fits).then(|| format!("{} was expected", self.name()))
    }

    /// How a person calls it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Kind::Any => "anything",
            Kind::Null => "null",
            Kind::Bool => "a boolean",
            Kind::Integer => "an integer",
            Kind::Number => "a number",
            Kind::Text => "a string",
            Kind::Uuid => "a UUID",
            Kind::Array(_) => "an array",
            Kind::Object(_) => "an object",
        }
    }
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'))
}

fn is_uuid(text: &str) -> bool {
    let is_dash = |n: usize| matches!(n, 8 | 13 | 18 | 23);
    text.len() == 36
        && text.bytes().enumerate().all(|(n, b)| if is_dash(n) { b == b'-' } else { b.is_ascii_hexdigit() })
}

struct Compiler<'a> {
    shapes: Vec<Shape>,
    defs: Option<&'a Value>,
    known: HashMap<&'a str, ShapeId>,
}

impl<'a> Compiler<'a> {
    fn compile(&mut self, schema: &'a Value) -> ShapeId {
        let Some(object) = schema.as_object() else { return ANY };
        if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
            return self.reference(reference);
        }
        if let Some(forms) = object.get("anyOf").or_else(|| object.get("oneOf")).and_then(Value::as_array) {
            return self.forms(forms);
        }
        if object.contains_key("allOf") {
            return ANY;
        }
        let (kind, nullable) = match object.get("type") {
            Some(Value::String(kind)) => (kind.as_str(), false),
            Some(Value::Array(kinds)) => {
                let mut named = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null");
                match (named.next(), named.next()) {
                    (Some(one), None) => (one, kinds.len() > 1),
                    _ => return ANY,
                }
            }
            _ => return ANY,
        };
        let kind = match kind {
            "null" => Kind::Null,
            "boolean" => Kind::Bool,
            "integer" => Kind::Integer,
            "number" => Kind::Number,
            "string" if object.get("format").and_then(Value::as_str) == Some("uuid") => Kind::Uuid,
            "string" => Kind::Text,
            "array" => Kind::Array(object.get("items").map_or(ANY, |items| self.compile(items))),
            "object" => Kind::Object(self.members(object)),
            _ => return ANY,
        };
        self.push(Shape { kind, nullable })
    }

    fn members(&mut self, object: &'a serde_json::Map<String, Value>) -> Members {
        let mut members = Members::default();
        if let Some(properties) = object.get("properties").and_then(Value::as_object) {
            for (name, schema) in properties {
                let shape = self.compile(schema);
                members.named.push((name.as_str().into(), shape));
            }
        }
        if let Some(required) = object.get("required").and_then(Value::as_array) {
            members.required = required.iter().filter_map(Value::as_str).map(Into::into).collect();
        }
        members.rest = match object.get("additionalProperties").or_else(|| object.get("unevaluatedProperties")) {
            None | Some(Value::Bool(false)) => None,
            Some(schema) => Some(self.compile(schema)),
        };
        members
    }

    /// One form, or one form or null; more forms are the decoder's business.
    fn forms(&mut self, forms: &'a [Value]) -> ShapeId {
        let is_null = |form: &&Value| form.get("type").and_then(Value::as_str) == Some("null");
        let mut real = forms.iter().filter(|form| !is_null(form));
        let (Some(one), None) = (real.next(), real.next()) else { return ANY };
        let shape = self.compile(one);
        if shape == ANY || forms.len() == 1 {
            return shape;
        }
        let nullable = Shape { nullable: true, ..self.shapes[shape as usize].clone() };
        self.push(nullable)
    }

    fn reference(&mut self, reference: &'a str) -> ShapeId {
        if let Some(shape) = self.known.get(reference) {
            return *shape;
        }
        let name = reference.strip_prefix("#/$defs/");
        let Some(schema) = name.and_then(|name| self.defs?.get(name)) else { return ANY };
        // A type that contains itself finds its place while it is being compiled.
        let place = self.push(Shape { kind: Kind::Any, nullable: true });
        self.known.insert(reference, place);
        let shape = self.compile(schema);
        self.shapes[place as usize] = self.shapes[shape as usize].clone();
        place
    }

    fn push(&mut self, shape: Shape) -> ShapeId {
        let id = u32::try_from(self.shapes.len()).expect("a schema has fewer than 2^32 parts");
        self.shapes.push(shape);
        id
    }
}
