//! The admin router: metrics, health and the writers, for an address that is not public.

use crate::body::Body;
use crate::headers;
use crate::health::{self, Notices, Told};
use crate::metrics::{Metrics, family, sample};
use crate::serve::Stop;
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{Response, Uri};
use monolite_runtime::{Health, Host, bucket_bound};
use monolite_service::{Gauge, GaugeKind, StoreState};
use std::fmt::Write;

/// `/metrics`, `/admin/writers`, `/livez`, `/readyz` and `/up`. `notices` are told by `/readyz?verbose`.
pub fn admin_router(host: &Host, metrics: &Metrics, stop: &Stop, notices: Notices) -> axum::Router {
    let (scraped, metrics) = (host.clone(), metrics.clone());
    let writing = host.clone();
    let (checked, stop) = (host.clone(), stop.clone());
    let (up_host, up_stop) = (host.clone(), stop.clone());
    axum::Router::new()
        .route("/metrics", get(async move || page(&scraped, &metrics).map(Body::into_axum)))
        .route("/admin/writers", get(async move || writers(&writing).map(Body::into_axum)))
        .route("/livez", get(async || health::live().map(Body::into_axum)))
        .route(
            "/readyz",
            get(async move |uri: Uri| {
                health::ready(&checked, &stop, health::told(uri.query(), Told::Reasons), Some(&notices))
                    .map(Body::into_axum)
            }),
        )
        .route("/up", get(async move || health::ready(&up_host, &up_stop, Told::Nothing, None).map(Body::into_axum)))
}

fn page(host: &Host, metrics: &Metrics) -> Response<Body> {
    let mut text = metrics.page();
    calls(&mut text, host);
    let health = host.health();
    gauges(&mut text, &health);
    reached(&mut text, &health);
    rested(&mut text, &health);
    let program = metrics.gauges();
    own(&mut text, host.gauges().iter().chain(&program));
    let mut response = Response::new(Body::from(text.into_bytes()));
    response.headers_mut().insert(CONTENT_TYPE, headers::METRICS_TEXT);
    response
}

/// Who holds each writer, who waits and how long, and the longest holds of the last hour.
fn writers(host: &Host) -> Response<Body> {
    let text = serde_json::to_vec(&host.writers()).expect("strings and numbers are always JSON");
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, headers::JSON);
    response.headers_mut().insert(CACHE_CONTROL, headers::NO_STORE);
    response
}

/// Calls of each message; the host counts them, from 256 ns on.
fn calls(to: &mut String, host: &Host) {
    let all = host.counts();
    let name = "monolite_call_seconds";
    family(to, name, "histogram", "Calls of a message, waiting included.");
    for counts in &all {
        let labels = format!("service=\"{}\",message=\"{}\"", counts.service, counts.message);
        let mut below = 0;
        for (place, count) in counts.buckets.iter().enumerate() {
            below += count;
            let bound = bucket_bound(place).map_or("+Inf".to_owned(), |bound| format!("{}", bound.as_secs_f64()));
            let _ = writeln!(to, "{name}_bucket{{{labels},le=\"{bound}\"}} {below}");
        }
        let _ = writeln!(to, "{name}_sum{{{labels}}} {:.9}", counts.time.as_secs_f64());
        let _ = writeln!(to, "{name}_count{{{labels}}} {below}");
    }
    family(to, "monolite_calls_ended_total", "counter", "Calls that ended without a reply.");
    for counts in &all {
        for (how, count) in [("refused", counts.refused), ("failed", counts.failed)] {
            let labels = format!("service=\"{}\",message=\"{}\",ended=\"{how}\"", counts.service, counts.message);
            sample(to, "monolite_calls_ended_total", &labels, count);
        }
    }
}

fn gauges(to: &mut String, all: &[Health]) {
    type Part = fn(&Health) -> u64;
    let parts: [(&str, &str, Part); 14] = [
        ("monolite_store_serving", "1 while a store takes writes.", |h| {
            u64::from(h.status.state == StoreState::Serving)
        }),
        ("monolite_store_damaged", "1 while a store's file is known to be damaged.", |h| {
            u64::from(matches!(h.status.state, StoreState::Damaged(_)))
        }),
        ("monolite_store_sequence", "The last commit of a store.", |h| h.status.sequence),
        ("monolite_writer_queue_depth", "Writes that wait.", |h| h.status.queued as u64),
        ("monolite_writer_queue_tenants", "Tenants whose writes wait.", |h| h.status.queued_tenants as u64),
        ("monolite_slow_lane_queue_depth", "Reads that wait for the slow lane.", |h| h.status.slow_queued as u64),
        ("monolite_slow_reads_running", "Reads that run beyond the inline budget.", |h| h.status.slow_running as u64),
        ("monolite_blocking_reads_running", "Of those, reads of the blocking form.", |h| {
            h.status.blocking_running as u64
        }),
        ("monolite_cuts_open", "Open cuts that hold a snapshot.", |h| h.status.cuts_open as u64),
        ("monolite_reader_connections", "Connections that read on callers' threads.", |h| {
            h.status.reader_connections as u64
        }),
        ("monolite_wal_bytes", "Bytes of the WAL in use.", |h| h.status.wal_bytes),
        ("monolite_file_bytes", "Bytes of the database file.", |h| h.status.file_bytes),
        ("monolite_scrub_passes", "Times that every page of the file was checked since the start.", |h| {
            h.status.scrub_passes
        }),
        ("monolite_writer_held", "1 while a write holds the writer.", |h| u64::from(h.status.holder.is_some())),
    ];
    for (name, help, part) in parts {
        family(to, name, "gauge", help);
        for health in all {
            sample(to, name, &format!("service=\"{}\"", health.service), part(health));
        }
    }
}

/// How often the bounds of writers were reached.
fn reached(to: &mut String, all: &[Health]) {
    let name = "monolite_writer_bound_reached_total";
    family(to, name, "counter", "Groups that a bound ended, and writes past their deadline.");
    for health in all {
        let reached = health.status.reached;
        for (bound, count) in [
            ("group_writes", reached.group_writes),
            ("group_rows", reached.group_rows),
            ("group_time", reached.group_time),
            ("deadline", reached.late),
        ] {
            sample(to, name, &format!("service=\"{}\",bound=\"{bound}\"", health.service), count);
        }
    }
}

/// How long writers have rested for followers that were late and checkpoints that did not catch up.
fn rested(to: &mut String, all: &[Health]) {
    let name = "monolite_writer_rested_milliseconds_total";
    family(
        to,
        name,
        "counter",
        "What a writer has rested for an archive that was late, or a checkpoint that did not catch up.",
    );
    for health in all {
        sample(to, name, &format!("service=\"{}\"", health.service), health.status.rested.as_millis());
    }
}

/// What services show of their own: one family a name, however many services and labels have it.
fn own<'a>(to: &mut String, all: impl Iterator<Item = &'a (&'static str, Gauge)>) {
    let mut sorted: Vec<_> = all.collect();
    sorted.sort_by_key(|(_, gauge)| gauge.name);
    let mut last = "";
    for (service, gauge) in sorted {
        if gauge.name != last {
            last = gauge.name;
            let kind = if gauge.kind == GaugeKind::Counter { "counter" } else { "gauge" };
            family(to, gauge.name, kind, gauge.help);
        }
        let label = gauge.label.map_or(String::new(), |(name, value)| format!(",{name}=\"{value}\""));
        sample(to, gauge.name, &format!("service=\"{service}\"{label}"), gauge.read());
    }
}
