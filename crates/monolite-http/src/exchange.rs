//! One request of a service's route, from its head to its answer.
//!
//! The order is fixed: method, caller, access, preconditions, the commits that it waits for, fields, admission, body, admission again, call, the archive. So nobody
//! who may not use a route learns what is wrong with the rest of the request, and no body is read for them, nor for a
//! change that would be refused for want of room.
//!
//! **Invariants**
//! - Nothing reaches the host before everything the edge checks has been checked.
//! - A body above the inline limit is scanned and decoded off the async workers.
//! - The request's time limit holds for the body and the call together.
//!
//! Never here: what a status is (see `status.rs`), how an answer is written (see `answer.rs`).

use crate::answer;
use crate::archived;
use crate::at_least;
use crate::auth;
use crate::body::Body;
use crate::budget::Room;
use crate::conditional::{NEVER, if_match};
use crate::contained::{Unfinished, contained};
use crate::edge::Inner;
use crate::input::{self, Expected, Fault, Pair};
use crate::problem::Problem;
use crate::status;
use crate::stream;
use crate::table::{AtPath, Compiled, Content};
use crate::trace::Trace;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body::Body as HttpBody;
use matchit::Params;
use monolite_runtime::{Answer, Host, Rejection, Request, Tally};
use monolite_service::{BoxFuture, Caller, Credentials, Upload, WorkKind};
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long past a request's time a call may take to say what became of it; the call's own deadline comes first.
const GRACE: Duration = Duration::from_secs(1);

/// What is known of a request beside its head and body.
pub(crate) struct Exchange<'e> {
    pub(crate) inner: &'e Inner,
    pub(crate) host: &'e Host,
    pub(crate) tally: &'e Tally,
    pub(crate) parts: &'e Parts,
    pub(crate) peer: IpAddr,
    pub(crate) began: Instant,
    pub(crate) trace: Trace,
}

pub(crate) type Called = BoxFuture<'static, Result<Answer, Rejection>>;

impl Exchange<'_> {
    /// Answers, or says why not.
    pub(crate) async fn run<B>(&self, at: &AtPath, params: Params<'_, '_>, body: B) -> Result<Response<Body>, Problem>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    {
        let Some(route) = at.find(&self.parts.method) else { return Err(method_not_allowed(Some(at.allow.clone()))) };
        let caller = self.caller(route).await?;
        auth::admit(&caller, route.route.access)?;
        // Before anything is asked: a file that is replaced meanwhile does not get the tags of its successor.
        let fork = self.host.fork_of(route.route.service);
        let if_match = self.precondition(route, fork)?;
        at_least::wait(&self.parts.headers, self.host, self.began + self.inner.limits.request_time).await?;
        archived::wait(&self.parts.headers, self.host, self.inner).await?;
        if route.method != Method::GET {
            input::is_plain(&self.parts.headers).map_err(Problem::closing)?;
        }
        let mut pairs = Vec::with_capacity(4);
        self.fields(route, &params, &mut pairs).map_err(status::of_fault)?;
        let gate = route.gate.as_ref();
        if let Some(Err(refusal)) = gate.map(|gate| gate.look(caller.tenant())) {
            return Err(refusal.in_time().await);
        }
        if route.content == Content::Stream {
            let answer = self.receive(route, &caller, pairs, body, if_match).await?;
            archived::acknowledge(self, &answer, fork).await?;
            return answer::of(answer, route, self, &caller, fork);
        }
        let mut room = self.inner.budget.room(caller.tenant());
        let body = self.body(route, body, &mut room).await?;
        let admitted = match gate.map(|gate| gate.enter(caller.tenant())).transpose() {
            Ok(admitted) => admitted,
            Err(refusal) => return Err(refusal.in_time().await),
        };
        // The body may have taken its time.
        let is_same = if_match.is_none() || self.host.fork_of(route.route.service) == fork;
        let if_match = if is_same { if_match } else { Some(NEVER) };
        let called = self.call(route, &caller, pairs, body, if_match).await?;
        let answer = self.wait(route, called).await?;
        drop(admitted); // who waits for the archive keeps nobody from the writer
        archived::acknowledge(self, &answer, fork).await?;
        answer::of(answer, route, self, &caller, fork)
    }

    async fn caller(&self, route: &Compiled) -> Result<Caller, Problem> {
        let until = self.began + self.inner.limits.request_time;
        let caller = match auth::bearer(&self.parts.headers)? {
            None => Caller::anonymous(Some(self.peer)),
            Some(token) => {
                let credentials = Credentials { bearer: Some(token.to_owned()), address: Some(self.peer) };
                let known = contained(until + GRACE, self.host.authenticate(&credentials)).await;
                let known = known.map_err(|why| unfinished(why, WorkKind::Read))?;
                let known = known.map_err(|no| self.rejected(route, Rejection::of(no)))?;
                if known.address().is_some() { known } else { known.with_address(self.peer) }
            }
        };
        // What arrives piece by piece has a deadline for each piece.
        let is_stream = route.content == Content::Stream;
        let caller = if is_stream { caller } else { caller.with_deadline(until) };
        Ok(caller.with_trace_number(self.trace.number()))
    }

    fn precondition(&self, route: &Compiled, fork: Option<u32>) -> Result<Option<u64>, Problem> {
        let headers = &self.parts.headers;
        let is_read = route.method == Method::GET;
        if !is_read && headers.contains_key(IF_NONE_MATCH) {
            return Err(unsupported("If-None-Match"));
        }
        let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
        let version = if_match(value, fork).map_err(status::of_fault)?;
        match route.route.takes.if_match {
            true => Ok(Some(version)),
            false if is_read => Ok(None), // compared with what is read
            false => Err(unsupported("If-Match")),
        }
    }

    /// Collects the fields from path and query; unknown, repeated and mistyped ones are refused.
    fn fields<'a>(&'a self, route: &Compiled, params: &Params<'a, 'a>, pairs: &mut Vec<Pair<'a>>) -> Result<(), Fault> {
        for (name, value) in params.iter() {
            pairs.push((Cow::Borrowed(name), input::decode(value, false)?));
        }
        let in_path = pairs.len();
        if let Some(query) = self.parts.uri.query() {
            input::read_query(query, pairs)?;
        }
        for (n, (name, value)) in pairs.iter().enumerate() {
            if n >= in_path {
                let is_path = pairs[..in_path].iter().any(|(known, _)| known == name);
                if !is_path && !route.query.iter().any(|known| **known == **name) {
                    return Err(Fault::of_field(name, "unknown_field", "is not a field"));
                }
                if pairs[..n].iter().any(|(known, _)| known == name) {
                    return Err(Fault::of_field(name, "duplicate_field", "is given twice"));
                }
            }
            if let Some(wrong) = route.kind_of(name).and_then(|kind| kind.mismatch(value)) {
                return Err(Fault::of_field(name, "wrong_type", wrong));
            }
        }
        if route.content == Content::Stream {
            stream::fields(route, &self.parts.headers, pairs)?;
        }
        if route.takes_content_type && !pairs.iter().any(|(name, _)| name == "content_type") {
            let given = self.parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            pairs.push((Cow::Borrowed("content_type"), Cow::Borrowed(given.unwrap_or("application/octet-stream"))));
        }
        Ok(())
    }

    async fn body<B>(&self, route: &Compiled, body: B, room: &mut Room) -> Result<Bytes, Problem>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    {
        if body.is_end_stream() {
            return Ok(Bytes::new());
        }
        let until = (self.began + self.inner.limits.request_time).into();
        let bounds = input::Bounds { bytes_max: route.body_max, until, pause: self.inner.body_pause };
        let headers = &self.parts.headers;
        match route.content {
            Content::None => {
                let fault = Fault::whole("body_not_expected", "this method takes no body");
                Err(status::of_fault(fault).closing())
            }
            Content::Upload | Content::Stream => input::read_body(headers, body, bounds, room).await,
            Content::Fields | Content::Whole => {
                input::is_json(headers).map_err(|fault| status::of_fault(fault).closing())?;
                input::read_body(headers, body, bounds, room).await
            }
        }
    }

    /// Checks the body against the message and hands all to the host, which decodes it before the first wait.
    async fn call(
        &self,
        route: &Arc<Compiled>,
        caller: &Caller,
        pairs: Vec<Pair<'_>>,
        body: Bytes,
        if_match: Option<u64>,
    ) -> Result<Called, Problem> {
        let depth_max = self.inner.json_depth_max;
        if route.content == Content::Upload || body.len() <= self.inner.inline_body_max {
            return begin(route, self.host, caller, &pairs, body, None, if_match, depth_max);
        }
        let route_kind = route.route.kind;
        let (route, host, caller) = (route.clone(), self.host.clone(), caller.clone());
        let pairs: Vec<Pair<'static>> =
            pairs.into_iter().map(|(name, value)| (name.into_owned().into(), value.into_owned().into())).collect();
        let off =
            tokio::task::spawn_blocking(move || begin(&route, &host, &caller, &pairs, body, None, if_match, depth_max));
        off.await.map_err(|_| unfinished(Unfinished::Panicked, route_kind))?
    }

    async fn wait(&self, route: &Compiled, called: Called) -> Result<Answer, Problem> {
        let until = self.began + self.inner.limits.request_time + GRACE;
        let answered = contained(until, called).await.map_err(|why| unfinished(why, route.route.kind))?;
        answered.map_err(|rejection| self.rejected(route, rejection))
    }

    pub(crate) fn rejected(&self, route: &Compiled, rejection: Rejection) -> Problem {
        if let Rejection::Failed(failure) = &rejection
            && status::is_worth_a_log(failure.kind())
        {
            let (message, trace_id) = (route.route.message, self.trace.id());
            tracing::error!(service = route.route.service, message, trace_id, ?failure, "a call failed");
        }
        status::of_rejection(rejection, route.route.service, route.route.kind)
    }
}

#[allow(clippy::too_many_arguments)] // all that a request is
pub(crate) fn begin(
    route: &Compiled,
    host: &Host,
    caller: &Caller,
    pairs: &[Pair<'_>],
    body: Bytes,
    arriving: Option<Upload>,
    if_match: Option<u64>,
    depth_max: usize,
) -> Result<Called, Problem> {
    let mut names = [""; 8];
    let given: Cow<'_, [&str]> = if pairs.len() <= names.len() {
        names.iter_mut().zip(pairs).for_each(|(name, pair)| *name = &pair.0);
        Cow::Borrowed(&names[..pairs.len()])
    } else {
        Cow::Owned(pairs.iter().map(|(name, _)| name.as_ref()).collect())
    };
    check(route, &given, &body, depth_max).map_err(status::of_fault)?;
    let fields: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
    let is_upload = route.content == Content::Upload;
    let upload = arriving.or_else(|| is_upload.then(|| body.clone().into()));
    let text = (!is_upload && !body.is_empty()).then_some(&body[..]);
    let request = Request { fields: &fields, body: text, if_match, upload };
    Ok(route.route.call(host, caller, request))
}

fn check(route: &Compiled, given: &[&str], body: &[u8], depth_max: usize) -> Result<(), Fault> {
    let shapes = &route.shapes;
    match route.content {
        Content::Fields if !body.is_empty() => {
            return input::scan(body, &Expected { shapes, root: shapes.root(), depth_max, given }).map(drop);
        }
        Content::Whole => {
            let root = shapes.member("body").unwrap_or(input::ANY);
            input::scan(body, &Expected { shapes, root, depth_max, given: &[] })?;
        }
        Content::Fields | Content::None | Content::Upload | Content::Stream => {}
    }
    match route.required.iter().find(|name| !given.contains(&name.as_ref())) {
        Some(missing) => Err(Fault::of_field(missing, "missing_field", "is required")),
        None => Ok(()),
    }
}

/// What is answered where a path knows these methods, and not this one.
pub(crate) fn method_not_allowed(allow: Option<HeaderValue>) -> Problem {
    let detail = "this path does not know this method";
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
    match allow {
        Some(allow) => problem.with_header(ALLOW, allow),
        None => problem,
    }
}

fn unsupported(header: &str) -> Problem {
    let detail = format!("{header} is not understood here, and was not ignored");
    Problem::new(StatusCode::BAD_REQUEST, "precondition_unsupported", detail)
}

/// The last resort, where neither the call nor the store said what became of it.
pub(crate) fn unfinished(why: Unfinished, kind: WorkKind) -> Problem {
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    match (why, kind) {
        (Unfinished::Panicked, _) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "panicked", "the request failed"),
        (Unfinished::Late, WorkKind::Read) => {
            Problem::new(unavailable, "late", "the request was not done in time").retryable(None)
        }
        (Unfinished::Late, WorkKind::Write | WorkKind::Flow) => {
            let detail = "it is not known whether the change was kept; read before trying again";
            Problem::new(unavailable, "outcome_unknown", detail)
        }
    }
}
