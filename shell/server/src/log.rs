//! The log: lines for people or JSON for programs, on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::settings::Log;
use crate::config::types::Format;

/// Starts to log. Only the first call of a process counts.
pub fn start(settings: &Log) {
    let builder = tracing_subscriber::fmt().with_env_filter(filter(settings)).with_writer(std::io::stderr);
    // Refused when a test has installed one already: that one is as good.
    let _ = match settings.format {
        Format::Text => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).compact().try_init(),
        Format::Json => builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
    };
}

/// Ours at the level that was asked for; libraries only when something is wrong, unless everything is wanted.
fn filter(settings: &Log) -> EnvFilter {
    let level = settings.level.name();
    EnvFilter::new(match level {
        "error" => "error".to_owned(),
        "trace" => "trace".to_owned(),
        // The STUN library warns about each malformed message: whoever sends such could fill the disk.
        // So do the DTLS libraries.
        // The ACME client tells through its own target what it does.
        _ => format!(
            "warn,tandem={level},tandem_server={level},tandem_store={level},tandem_engine={level},tandem_stun={level},\
             stun_types=off,turn_types=off,dimpl=off,rtc_dtls=off"
        ),
    })
}
