//! The metrics page: families with their help, in a fixed order.

use super::{All, Durations, locked};
use crate::serve::{OPEN, TURNED_AWAY, UNTAKEN};
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

/// Begins a family.
pub(crate) fn family(to: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(to, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// Writes one sample.
pub(crate) fn sample(to: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _ = if labels.is_empty() { writeln!(to, "{name} {value}") } else { writeln!(to, "{name}{{{labels}}} {value}") };
}

pub(super) fn page(all: &All) -> String {
    let mut to = String::with_capacity(64 * 1024);
    family(&mut to, "monolite_build_info", "gauge", "Versions of what runs.");
    sample(&mut to, "monolite_build_info", concat!("version=\"", env!("CARGO_PKG_VERSION"), "\""), 1);
    http(&mut to, all);
    bounds(&mut to, all);
    stores(&mut to, all);
    to
}

fn http(to: &mut String, all: &All) {
    let routes = locked(&all.routes);
    let labelled = |(method, path): &(String, String)| format!("method=\"{method}\",route=\"{}\"", escaped(path));
    family(to, "monolite_http_request_seconds", "histogram", "From a request's headers to the start of its answer.");
    for (route, meter) in routes.iter() {
        meter.took.write(to, "monolite_http_request_seconds", &labelled(route));
    }
    family(to, "monolite_http_requests_total", "counter", "Requests answered, by the class of the status.");
    for (route, meter) in routes.iter() {
        for (class, count) in meter.statuses.iter().enumerate() {
            let labels = format!("{},status=\"{}xx\"", labelled(route), class + 1);
            sample(to, "monolite_http_requests_total", &labels, count.total());
        }
    }
    family(to, "monolite_http_requests_in_flight", "gauge", "Requests that wait for their answer.");
    sample(to, "monolite_http_requests_in_flight", "", all.in_flight.total());
    family(to, "monolite_http_connections", "gauge", "Connections open now.");
    sample(to, "monolite_http_connections", "", OPEN.load(Relaxed));
    family(to, "monolite_http_connections_refused_total", "counter", "Connections for which there was no room.");
    sample(to, "monolite_http_connections_refused_total", "", TURNED_AWAY.load(Relaxed));
    let untaken = "Connections dropped because their reader did not take an answer in time.";
    family(to, "monolite_http_answers_untaken_total", "counter", untaken);
    sample(to, "monolite_http_answers_untaken_total", "", UNTAKEN.load(Relaxed));
    family(to, "monolite_http_problems_total", "counter", "Problems answered, by code.");
    for (code, count) in locked(&all.refused).iter() {
        sample(to, "monolite_http_problems_total", &format!("code=\"{}\"", escaped(code)), count);
    }
}

/// What the edge bounds, and how full it is.
fn bounds(to: &mut String, all: &All) {
    let budget = locked(&all.budget);
    let held = budget.as_ref().map_or((0, 0), |budget| (budget.held(), budget.max()));
    family(to, "monolite_http_body_bytes", "gauge", "Bytes of bodies that are being read or worked on.");
    sample(to, "monolite_http_body_bytes", "", held.0);
    family(to, "monolite_http_body_bytes_limit", "gauge", "Bytes of bodies for which there is room.");
    sample(to, "monolite_http_body_bytes_limit", "", held.1);
    let streams = locked(&all.places).as_ref().map_or((0, 0), |places| places.shown());
    family(to, "monolite_http_streams", "gauge", "Uploads and large blobs under way.");
    sample(to, "monolite_http_streams", "", streams.0);
    family(to, "monolite_http_streams_limit", "gauge", "How many of them may be under way.");
    sample(to, "monolite_http_streams_limit", "", streams.1);
    let gates: Vec<_> = locked(&all.gates).iter().map(|(service, gate)| (*service, gate.shown())).collect();
    family(to, "monolite_http_changes_under_way", "gauge", "Changes of a service let in and not yet answered.");
    for (service, gate) in &gates {
        sample(to, "monolite_http_changes_under_way", &format!("service=\"{service}\""), gate.under_way);
    }
    family(to, "monolite_http_changes_limit", "gauge", "Changes of a service that may be under way now.");
    for (service, gate) in &gates {
        sample(to, "monolite_http_changes_limit", &format!("service=\"{service}\""), gate.limit);
    }
    family(to, "monolite_http_changes_refused_total", "counter", "Changes refused before anything was done.");
    for (service, gate) in &gates {
        for (fault, count) in [("tenant", gate.refused_own), ("system", gate.refused_system)] {
            let labels = format!("service=\"{service}\",fault=\"{fault}\"");
            sample(to, "monolite_http_changes_refused_total", &labels, count);
        }
    }
}

fn stores(to: &mut String, all: &All) {
    type Part = fn(&super::StoreMeter) -> &Durations;
    let stores = locked(&all.stores);
    let durations: [(&str, &str, Part); 3] = [
        ("monolite_writer_wait_seconds", "Time of a write in the queue.", |s| &s.waited),
        ("monolite_writer_hold_seconds", "Time of a write on the writer.", |s| &s.held),
        ("monolite_writer_commit_seconds", "Time of a group's last statement and its synced commit.", |s| &s.committed),
    ];
    for (name, help, part) in durations {
        family(to, name, "histogram", help);
        for (service, meter) in stores.iter() {
            part(meter).write(to, name, &format!("service=\"{service}\""));
        }
    }
    family(to, "monolite_checkpoint_seconds", "histogram", "Checkpoint rounds, beside the writer or between groups.");
    for (service, meter) in stores.iter() {
        for (mode, took) in [("beside", &meter.beside), ("between", &meter.between)] {
            took.write(to, "monolite_checkpoint_seconds", &format!("service=\"{service}\",mode=\"{mode}\""));
        }
    }
    family(to, "monolite_writer_group_writes", "histogram", "Writes that shared one commit.");
    for (service, meter) in stores.iter() {
        meter.group.write(to, "monolite_writer_group_writes", &format!("service=\"{service}\""));
    }
    for (name, help, part) in [
        (
            "monolite_checkpoint_frames_total",
            "Frames copied into the file.",
            (|s| &s.frames_copied) as fn(&super::StoreMeter) -> &super::Counter,
        ),
        ("monolite_slow_lane_moves_total", "Reads that moved to the slow lane by themselves.", |s| &s.moved),
        ("monolite_slow_runs_total", "Writes and reads that took too long.", |s| &s.slow),
        ("monolite_store_refused_total", "Calls refused because a queue was full.", |s| &s.refused),
    ] {
        family(to, name, "counter", help);
        for (service, meter) in stores.iter() {
            sample(to, name, &format!("service=\"{service}\""), part(meter).total());
        }
    }
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
