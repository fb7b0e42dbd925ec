//! Logs: to stderr, as text or as JSON lines.

use crate::config::Config;
use crate::output;
use crate::verb::Usage;
use tracing_subscriber::EnvFilter;

/// Sends this process's log events to stderr. `RUST_LOG` beats the configuration's `log.filter`.
pub(crate) fn begin(config: &Config) -> crate::Result {
    let variable = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    let (name, wanted) = variable.as_deref().map_or(("log.filter", config.text("log.filter")), |v| ("RUST_LOG", v));
    let wrong = |e| Usage(format!("{name} is words such as warn,monolite=info, not {wanted:?}: {e}"));
    let filter = EnvFilter::try_new(wanted).map_err(wrong)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second call in one process (tests) keeps the first subscriber.
    let _ = match config.text("log.format") {
        "text" => builder.with_ansi(output::colour()).with_target(false).try_init(),
        "json" => builder.json().flatten_event(true).try_init(),
        other => return Err(Usage(format!("log.format must be text or json, not {other:?}")).into()),
    };
    Ok(())
}
