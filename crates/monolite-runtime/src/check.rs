//! The checks of an assembly, before any file is touched.
//!
//! **Invariants**
//! - Names of services and of messages within one, message types, and routes are each there once.
//! - What a route promises (fields in its path, a location, an upload, a stream) its handler can keep.
//!
//! Never here: SQL; statements are prepared once the files are open.

use crate::start::StartError;
use monolite_service::edge::Takes;
use monolite_service::{Endpoint, HandlerSpec, Method, Service, WorkKind};
use reply::properties;
use std::any::TypeId;
use std::collections::{HashMap, HashSet};

mod reply;

/// Longest name of a service: it is a folder, a file and part of a thread's name.
const NAME_MAX: usize = 64;

/// Refuses duplicate names, routes and fields, and words that cannot work together.
pub(crate) fn check(services: &[Service]) -> Result<(), StartError> {
    let mut seen = Seen::default();
    for service in services {
        let wrong = |what| StartError::Wrong { service: service.name, what };
        seen.service(service.name).map_err(wrong)?;
        let mut names = HashSet::new();
        for spec in &service.handlers {
            let in_message = |what: String| wrong(format!("message {}: {what}", spec.message));
            if !names.insert(spec.message) {
                return Err(in_message("two handlers have a message of this name".into()));
            }
            seen.message(service.name, spec).map_err(in_message)?;
            words(spec).map_err(in_message)?;
            for endpoint in &spec.endpoints {
                let in_route = |what| in_message(format!("{} {}: {what}", endpoint.method, endpoint.path));
                seen.route(service.name, spec.message, endpoint).map_err(in_route)?;
                route(spec, endpoint).map_err(in_route)?;
            }
        }
    }
    for service in services {
        for background in &service.background {
            let wrong = |what| StartError::Wrong { service: service.name, what };
            if background.period.is_zero() {
                return Err(wrong(format!("message {}: a period of zero", background.message)));
            }
            if !seen.messages.contains_key(&background.message_type) {
                return Err(wrong(format!(
                    "message {}: sent every so often, but nobody handles it",
                    background.message
                )));
            }
        }
    }
    Ok(())
}

/// What is taken already, and by whom.
#[derive(Default)]
struct Seen {
    services: HashSet<String>,
    messages: HashMap<TypeId, String>,
    routes: HashMap<(Method, String), String>,
    shapes: HashMap<String, &'static str>,
}

impl Seen {
    fn service(&mut self, name: &str) -> Result<(), String> {
        let well = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric())
            && name.len() <= NAME_MAX;
        if !well {
            return Err(format!("a name is a letter, then letters and digits, at most {NAME_MAX} in all"));
        }
        // Folders may not know capitals: two names that differ only by them are one.
        if !self.services.insert(name.to_ascii_lowercase()) {
            return Err("two services have this name".into());
        }
        Ok(())
    }

    fn message(&mut self, service: &str, spec: &HandlerSpec) -> Result<(), String> {
        let name = format!("{service}.{}", spec.message);
        match self.messages.insert(spec.registration.message_type(), name) {
            Some(other) => Err(format!("this message has a handler already, as {other}")),
            None => Ok(()),
        }
    }

    fn route(&mut self, service: &str, message: &str, endpoint: &Endpoint) -> Result<(), String> {
        let shape = shape_of(endpoint.path);
        if let Some(other) = self.shapes.insert(shape.clone(), endpoint.path)
            && other != endpoint.path
        {
            return Err(format!("{other} is the same path with other names in braces; name them alike"));
        }
        match self.routes.insert((endpoint.method, shape), format!("{service}.{message}")) {
            Some(other) => Err(format!("{other} is served there already")),
            None => Ok(()),
        }
    }
}

/// The words said about a handler fit its type.
fn words(spec: &HandlerSpec) -> Result<(), String> {
    let registration = &spec.registration;
    if spec.slow && spec.kind != WorkKind::Read {
        return Err("slow() is for reads".into());
    }
    match (spec.upload, registration.takes_upload()) {
        (Some(_), false) => {
            return Err("upload() needs a handler fn(&Tx, M, Bytes) or async fn(Flow, M, Upload)".into());
        }
        (None, true) if !spec.endpoints.is_empty() => {
            return Err("a handler that takes an upload needs upload(limit) to be served".into());
        }
        _ => {}
    }
    match (spec.streams, registration.answers_blob()) {
        (true, false) => return Err("streams() needs a reply that is a Blob or a LargeBlob".into()),
        (false, true) if !spec.endpoints.is_empty() => {
            return Err("a reply that is a Blob needs streams() to be served".into());
        }
        _ => {}
    }
    if let Some(location) = spec.creates {
        if spec.kind == WorkKind::Read {
            return Err("creates() is for writes and flows".into());
        }
        let fields_of_reply = properties(registration.schemas().reply);
        for name in placeholders(location)? {
            if let Some(fields) = &fields_of_reply
                && !fields.contains(name)
            {
                return Err(format!("creates(\"{location}\"): the reply has no field `{name}`"));
            }
        }
    }
    Ok(())
}

/// A route's path names fields of its message, each once.
fn route(spec: &HandlerSpec, endpoint: &Endpoint) -> Result<(), String> {
    let path = endpoint.path;
    if !path.starts_with('/') || path.contains("//") || (path.len() > 1 && path.ends_with('/')) {
        return Err("a path begins with a slash, has no empty parts and does not end with a slash".into());
    }
    let takes = spec.registration.takes();
    let mut seen = HashSet::new();
    for name in placeholders(path)? {
        if !seen.insert(name) {
            return Err(format!("the field `{name}` is twice in the path"));
        }
        if !takes.fields.iter().any(|field| field == name) {
            return Err(format!("{} has no field `{name}`", spec.message));
        }
    }
    conventions(takes)
}

/// No field has the name of one that is filled by convention.
fn conventions(takes: &Takes) -> Result<(), String> {
    let clash = takes.fields.iter().find(|field| takes.page && matches!(field.as_str(), "limit" | "cursor"));
    match clash {
        Some(field) => Err(format!("the field `{field}` is that of `page` too")),
        None => Ok(()),
    }
}

/// `/recipes/{id}` as `/recipes/{}`.
fn shape_of(path: &str) -> String {
    let parts: Vec<_> = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect();
    parts.join("/")
}

/// The names in braces; each is a whole part of the path.
fn placeholders(path: &str) -> Result<Vec<&str>, String> {
    let mut names = Vec::new();
    for part in path.split('/').filter(|part| part.contains(['{', '}'])) {
        let name = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        match name.filter(|name| !name.is_empty() && !name.contains(['{', '}', '*'])) {
            Some(name) => names.push(name),
            None => return Err(format!("`{part}` is not a name in braces")),
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests;
