//! The table of routes: what the host offers, compiled once into what a request needs.
//!
//! **Invariants**
//! - Two routes of one method and path, or paths that cannot be told apart, are an error at start.
//! - Nothing about a route is computed while a request waits.

use crate::admission::Gate;
use crate::input::{Kind, Shapes};
use crate::metrics::{Metrics, RouteMeter};
use crate::stream;
use http::{HeaderValue, Method};
use matchit::Params;
use monolite_runtime::Route;
use monolite_service::WorkKind;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// Where all routes of services are.
pub(crate) const PREFIX: &str = "/api/v1";

/// One route, compiled.
pub(crate) struct Compiled {
    pub(crate) route: Route,
    pub(crate) method: Method,
    /// The message without what comes from elsewhere (`page`, `if_match`).
    pub(crate) shapes: Shapes,
    /// Names that a query may have.
    pub(crate) query: Vec<Box<str>>,
    /// Names that must come from somewhere.
    pub(crate) required: Vec<Box<str>>,
    pub(crate) content: Content,
    pub(crate) body_max: usize,
    /// An upload's content type goes to a field of this name.
    pub(crate) takes_content_type: bool,
    pub(crate) meter: Arc<RouteMeter>,
    /// Of what changes something: the gate before the service's writer.
    pub(crate) gate: Option<Arc<Gate>>,
}

/// The gates of the services.
pub(crate) type Gates = HashMap<&'static str, Arc<Gate>>;

/// What the body of a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// There is none.
    None,
    /// A JSON object with fields of the message.
    Fields,
    /// Any JSON, as the field `body`.
    Whole,
    /// Bytes, for the handler.
    Upload,
    /// The same, as they arrive.
    Stream,
}

/// What is served at one path.
pub(crate) struct AtPath {
    routes: Vec<Arc<Compiled>>,
    /// The methods, as `Allow` says them.
    pub(crate) allow: HeaderValue,
}

impl AtPath {
    /// The route of a method; a HEAD is answered as a GET, without the body.
    pub(crate) fn find(&self, method: &Method) -> Option<&Arc<Compiled>> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.routes.iter().find(|route| route.method == *method)
    }
}

/// All paths.
pub(crate) struct Table {
    paths: matchit::Router<AtPath>,
}

impl Table {
    /// Compiles the host's routes; the text says which two do not fit.
    pub(crate) fn of(routes: &[Route], body_max: usize, metrics: &Metrics, gates: &Gates) -> Result<Self, String> {
        let mut grouped: Vec<(&'static str, Vec<Arc<Compiled>>)> = Vec::new();
        for route in routes {
            let compiled = Arc::new(Compiled::of(route, body_max, metrics, gates));
            match grouped.iter_mut().find(|(known, _)| *known == route.path) {
                Some((_, there)) if there.iter().any(|other| other.method == compiled.method) => {
                    return Err(format!("{} {} is served twice", route.method, route.path));
                }
                Some((_, there)) => there.push(compiled),
                None => grouped.push((route.path, vec![compiled])),
            }
        }
        let mut paths = matchit::Router::new();
        for (path, routes) in grouped {
            let allow = allow(&routes);
            paths.insert(path, AtPath { routes, allow }).map_err(|error| format!("{path}: {error}"))?;
        }
        Ok(Table { paths })
    }

    /// What is served at a path below the prefix, with the path's parameters, still encoded.
    pub(crate) fn at<'t, 'p>(&'t self, path: &'p str) -> Option<(&'t AtPath, Params<'t, 'p>)> {
        self.paths.at(path).ok().map(|found| (found.value, found.params))
    }
}

impl Compiled {
    /// What a field of path or query must be.
    pub(crate) fn kind_of(&self, name: &str) -> Option<&Kind> {
        if self.route.takes.page && name == "limit" {
            return Some(&Kind::Integer); // the page's, which the shapes do not have
        }
        self.shapes.member(name).map(|shape| &self.shapes.at(shape).kind)
    }

    fn of(route: &Route, body_max: usize, metrics: &Metrics, gates: &Gates) -> Self {
        let method = Method::from_bytes(route.method.as_str().as_bytes()).expect("a method's name is a method");
        let takes_body = matches!(method, Method::POST | Method::PUT | Method::PATCH);
        let content = match route.is_upload {
            true if route.receives => Content::Stream,
            true => Content::Upload,
            false if takes_body && route.takes.body => Content::Whole,
            false if takes_body => Content::Fields,
            false => Content::None,
        };
        let schema = schema_of(route);
        let shapes = Shapes::of(&schema);
        let members = shapes.members().cloned().unwrap_or_default();
        let in_path = |name: &str| params_of(route.path).any(|param| param == name);
        let is_whole = |name: &str| content == Content::Whole && name == "body";
        let mut query: Vec<Box<str>> = members.named.iter().map(|(name, _)| name.clone()).collect();
        let in_head = |name: &str| content == Content::Stream && stream::is_field(name);
        query.retain(|name| !in_path(name) && !is_whole(name) && !in_head(name) && !is_secret(&schema, name));
        if route.takes.page {
            query.extend(["limit".into(), "cursor".into()]);
        }
        let required = members.required.into_iter().filter(|name| !is_whole(name)).collect();
        // A GET changes nothing, also where a flow answers it.
        let changes = route.kind != WorkKind::Read && method != Method::GET;
        Compiled {
            takes_content_type: route.is_upload && members.named.iter().any(|(name, _)| **name == *"content_type"),
            body_max: route.body_max.map_or(body_max, |limit| usize::try_from(limit).unwrap_or(usize::MAX)),
            meter: metrics.route(method.as_str(), &format!("{PREFIX}{}", route.path)),
            gate: gates.get(route.service).filter(|_| changes).cloned(),
            route: route.clone(),
            method,
            shapes,
            query,
            required,
            content,
        }
    }
}

/// The names in braces of a path; `{*rest}` is `rest`.
pub(crate) fn params_of(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|part| part.split('}').next()).map(|name| name.trim_start_matches('*'))
}

/// Whether a field is a password: those are read from bodies only, since URLs end in logs and histories.
pub(crate) fn is_secret(schema: &Value, name: &str) -> bool {
    fn says_so(schema: &Value, part: &Value, depth: usize) -> bool {
        let named = part.get("$ref").and_then(Value::as_str).and_then(|r| schema.pointer(r.strip_prefix('#')?));
        let any_of = part.get("anyOf").and_then(Value::as_array);
        part.get("format").and_then(Value::as_str) == Some("password")
            || depth > 0 && named.into_iter().chain(any_of.into_iter().flatten()).any(|p| says_so(schema, p, depth - 1))
    }
    let root = schema.get("$ref").and_then(Value::as_str).and_then(|r| schema.pointer(r.strip_prefix('#')?));
    let field = root.unwrap_or(schema).get("properties").and_then(|p| p.get(name));
    field.is_some_and(|field| says_so(schema, field, 4))
}

/// The schema of a route's message with its definitions, without the fields that the edge fills.
pub(crate) fn schema_of(route: &Route) -> Value {
    let mut generator = schemars::SchemaGenerator::default();
    let mut schema = (route.schemas.message)(&mut generator).to_value();
    let mut defs = Value::Object(generator.take_definitions(true));
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix("#/$defs/")).map(str::to_owned);
    let fields = match &name {
        Some(name) => defs.get_mut(name),
        None => Some(&mut schema),
    };
    if let Some(fields) = fields.and_then(Value::as_object_mut) {
        let filled: Vec<&str> = [("page", route.takes.page), ("if_match", route.takes.if_match)]
            .into_iter()
            .filter(|f| f.1)
            .map(|f| f.0)
            .collect();
        if let Some(properties) = fields.get_mut("properties").and_then(Value::as_object_mut) {
            properties.retain(|name, _| !filled.contains(&name.as_str()));
        }
        if let Some(required) = fields.get_mut("required").and_then(Value::as_array_mut) {
            required.retain(|name| !filled.iter().any(|filled| name == filled));
        }
    }
    match schema {
        Value::Object(mut object) => {
            object.insert("$defs".to_owned(), defs);
            Value::Object(object)
        }
        other => json!({ "allOf": [other] }),
    }
}

fn allow(routes: &[Arc<Compiled>]) -> HeaderValue {
    let mut methods: Vec<&str> = routes.iter().map(|route| route.method.as_str()).collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.sort_unstable();
    HeaderValue::try_from(methods.join(", ")).expect("methods are a header's value")
}
