//! Every metric, declared once: name, kind, label, help. `/metrics` and `docs/reference/metrics.md` derive from this table.
//!
//! Names are `<area>_<thing>_<unit>`, counters end in `_total`. A label has a small closed set of values; never an
//! identity, an address or a number of somebody.

use std::fmt::Write as _;
use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often which duration occurred, in seconds.
    Histogram,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// As Prometheus sees it.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Name of its label, if it has one.
    pub label: Option<&'static str>,
    /// What it counts.
    pub help: &'static str,
}

impl Metric {
    /// Adds to a counter without a label.
    pub fn add(&self, count: u64) {
        metrics::counter!(self.name).increment(count);
    }

    /// Adds to a counter with a label.
    pub fn add_labelled(&self, value: &'static str, count: u64) {
        metrics::counter!(self.name, self.label.unwrap_or("kind") => value).increment(count);
    }

    /// Sets a gauge.
    #[allow(clippy::cast_precision_loss, reason = "Prometheus knows floating point only")]
    pub fn set(&self, value: u64) {
        metrics::gauge!(self.name).set(value as f64);
    }

    /// Notes a duration in a histogram.
    pub fn observe(&self, duration: Duration) {
        metrics::histogram!(self.name).record(duration.as_secs_f64());
    }

    fn describe(&self) {
        match self.kind {
            Kind::Counter => metrics::describe_counter!(self.name, self.help),
            Kind::Gauge => metrics::describe_gauge!(self.name, self.help),
            Kind::Histogram => metrics::describe_histogram!(self.name, self.help),
        }
        // Present from the start, so that an alert on it works before it first happens.
        match (self.kind, self.label) {
            (Kind::Counter, None) => metrics::counter!(self.name).absolute(0),
            (Kind::Gauge, None) => metrics::gauge!(self.name).increment(0.0),
            _ => {}
        }
    }
}

macro_rules! metrics {
    ($($kind:ident $constant:ident = $name:literal $({ $label:literal })?, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Metric = Metric { name: $name, kind: Kind::$kind, label: metrics!(@label $($label)?), help: $help };
        )*

        /// Every metric in the order of the reference.
        pub const TABLE: &[Metric] = &[$($constant),*];
    };
    (@label $label:literal) => { Some($label) };
    (@label) => { None };
}

metrics! {
    Counter HTTP_CONNECTIONS_TOTAL = "http_connections_total", "Connections accepted on the HTTPS port.";
    Gauge HTTP_CONNECTIONS_OPEN = "http_connections_open", "Connections open, those included that became WebSockets.";
    Counter HTTP_CONNECTIONS_REFUSED_TOTAL = "http_connections_refused_total" {"limit"}, "Connections closed at once because of a limit: `total` or `address`.";
    Counter HTTP_CONNECTIONS_TO_RELAY_TOTAL = "http_connections_to_relay_total", "Connections on the HTTPS port that were TURN's and went on to the relay.";
    Counter HTTP_HANDSHAKES_FAILED_TOTAL = "http_handshakes_failed_total" {"reason"}, "TLS handshakes that failed: `error` or `timeout`.";
    Counter HTTP_REQUESTS_TOTAL = "http_requests_total" {"status"}, "Requests answered, by class of status: `1xx` to `5xx`.";
    Histogram HTTP_REQUEST_SECONDS = "http_request_seconds", "From the request's headers to the answer's headers; waiting polls and WebSockets are not counted.";
    Counter API_KEYS_REFUSED_TOTAL = "api_keys_refused_total" {"reason"}, "API requests without a valid key: `missing`, `wrong`, or `blocked` after too many wrong ones.";
    Counter TOKENS_REFUSED_TOTAL = "tokens_refused_total" {"reason"}, "Tokens for rooms that were not taken: `forged` (or made with a key that is unknown or revoked), `bad` (expired, or of claims that cannot be read), `blocked` after too many wrong ones, or `unavailable`, because the database did not answer.";
    Counter TURN_CREDENTIALS_ISSUED_TOTAL = "turn_credentials_issued_total", "Credentials handed out to applications.";
    Gauge TURN_ALLOCATIONS = "turn_allocations", "Live TURN allocations.";
    Counter TURN_ALLOCATED_TOTAL = "turn_allocated_total", "TURN allocations made.";
    Gauge TURN_CONNECTIONS = "turn_connections", "Live connections with peers of TCP allocations (RFC 6062), established or not.";
    Counter TURN_CONNECTED_TOTAL = "turn_connected_total", "Connections with peers that were joined with one of a client (RFC 6062).";
    Counter TURN_RELAYED_PACKETS_TOTAL = "turn_relayed_packets_total", "Packets relayed, both directions.";
    Counter TURN_RELAYED_BYTES_TOTAL = "turn_relayed_bytes_total", "Their payload, and what connections with peers have carried.";
    Counter TURN_OFFLOADED_PACKETS_TOTAL = "turn_offloaded_packets_total", "Of these, packets that the kernel relayed by itself (`relay.offload`).";
    Gauge TURN_OFFLOADED_CHANNELS = "turn_offloaded_channels", "Channels that the kernel may relay by itself.";
    Counter TURN_DROPPED_PACKETS_TOTAL = "turn_dropped_packets_total", "Packets not relayed: no allocation, channel or permission, a forbidden peer, too many bytes per second.";
    Counter TURN_LOST_PACKETS_TOTAL = "turn_lost_packets_total", "Packets the kernel, a queue between shards or a slow stream did not take.";
    Counter TURN_LIMITS_MET_TOTAL = "turn_limits_met_total" {"limit"}, "Packets dropped and requests refused because of a bound: `session_bytes`, `session_packets`, `user_bytes`, `key_bytes`, `server_bytes`, `new_peers`, `permissions`, `channels`, `allocations`, `quota` (of a user, key or realm) or `forbidden_peer`.";
    Counter TURN_MALFORMED_TOTAL = "turn_malformed_total", "Bytes that are neither STUN nor ChannelData, or lie about their lengths.";
    Counter STUN_BINDINGS_TOTAL = "stun_bindings_total", "STUN Binding requests answered.";
    Counter TURN_CHALLENGES_TOTAL = "turn_challenges_total", "Answers 401 and 438.";
    Counter TURN_UNAUTHORIZED_TOTAL = "turn_unauthorized_total", "Requests with a wrong or expired credential.";
    Counter TURN_MOVED_TOTAL = "turn_moved_total", "Clients that went on with their allocation from another address (RFC 8016).";
    Counter TURN_REFUSED_TOTAL = "turn_refused_total", "Other error answers.";
    Counter TURN_LIMITED_TOTAL = "turn_limited_total", "Answers withheld from sources that ask too much.";
    Gauge TURN_STREAMS = "turn_streams", "Live TCP and TLS connections of the relay.";
    Counter TURN_STREAMS_REFUSED_TOTAL = "turn_streams_refused_total", "TCP and TLS connections refused because there are too many.";
    Counter TURN_USAGE_LOST_TOTAL = "turn_usage_lost_total", "Entries of usage by user that nobody took: what they say is missing in the books.";
    Gauge TURN_DTLS = "turn_dtls", "Live DTLS associations of the relay.";
    Counter TURN_DTLS_REFUSED_TOTAL = "turn_dtls_refused_total", "DTLS clients refused: malformed, without a suite in common, or too many.";
    Counter TURN_DTLS_CHALLENGES_TOTAL = "turn_dtls_challenges_total", "DTLS clients asked to prove their address (HelloVerifyRequest).";
    Counter TURN_DTLS_SHED_TOTAL = "turn_dtls_shed_total", "Datagrams of DTLS handshakes dropped because too many of them waited; clients repeat them.";
    Counter TURN_SHARD_RESTARTS_TOTAL = "turn_shard_restarts_total", "Relay threads started again after a panic; each is a bug.";
    Gauge MEDIA_ENDPOINTS = "media_endpoints", "Connections of participants to the media plane.";
    Gauge MEDIA_TRACKS = "media_tracks", "Tracks that come in.";
    Gauge MEDIA_FORWARDS = "media_forwards", "Ways of tracks to those who get them.";
    Counter MEDIA_RECEIVED_PACKETS_TOTAL = "media_received_packets_total", "Media packets that have come in.";
    Counter MEDIA_FORWARDED_PACKETS_TOTAL = "media_forwarded_packets_total", "Media packets that have gone on.";
    Counter MEDIA_RETRANSMITTED_PACKETS_TOTAL = "media_retransmitted_packets_total", "Packets that were sent again because somebody had lost them.";
    Counter MEDIA_REFUSED_PACKETS_TOTAL = "media_refused_packets_total", "Datagrams of nobody known, or not authentic, or of no stream that was agreed on.";
    Counter MEDIA_KEYFRAMES_TOTAL = "media_keyframes_total", "Keyframes that publishers were asked for.";
    Counter MEDIA_UNSENT_PACKETS_TOTAL = "media_unsent_packets_total", "Datagrams the system did not take.";
    Counter MEDIA_COMMANDS_DROPPED_TOTAL = "media_commands_dropped_total", "Commands lost because a thread of the media plane was stuck.";
    Counter MEDIA_CARRIED_PACKETS_TOTAL = "media_carried_packets_total", "Media packets handed from one thread of the media plane to another, for rooms that are spread over several.";
    Counter MEDIA_CROSSINGS_DROPPED_TOTAL = "media_crossings_dropped_total", "Media and messages lost between threads of the media plane because one of them was behind.";
    Counter MEDIA_EVENTS_DROPPED_TOTAL = "media_events_dropped_total", "News of the media plane, soon told anew, lost because the engine was slow.";
    Counter MEDIA_SHARD_RESTARTS_TOTAL = "media_shard_restarts_total", "Threads of the media plane started again after a panic; each is a bug.";
    Gauge SIGNAL_TRANSPORTS = "signal_transports", "Transports that are in a room, or on their way into one.";
    Counter SIGNAL_FRAMES_TOTAL = "signal_frames_total" {"direction"}, "Frames of the session protocol: `in` to the engine, `out` to clients.";
    Counter SIGNAL_REFUSED_TOTAL = "signal_refused_total" {"reason"}, "Frames and requests that a transport refused before the engine saw them, by reason.";
    Counter SIGNAL_OVERFLOWS_TOTAL = "signal_overflows_total", "Transports closed because too much was waiting for a client that reads too slowly.";
    Counter SIGNAL_SHUT_OUT_TOTAL = "signal_shut_out_total" {"limit"}, "Connections refused because of a limit: `total` or `address`.";
    Counter ENGINE_RECORDS_DROPPED_TOTAL = "engine_records_dropped_total", "Lines of history lost because the store was too slow.";
    Counter WEBHOOKS_DELIVERED_TOTAL = "webhooks_delivered_total", "Events that a program of yours has taken, by each URL.";
    Counter WEBHOOKS_RETRIED_TOTAL = "webhooks_retried_total", "Attempts that had to be repeated.";
    Counter WEBHOOKS_DROPPED_TOTAL = "webhooks_dropped_total" {"reason"}, "Events that did not arrive: `full`, because too many waited, or `failed`, after too many attempts.";
    Counter STORE_WRITES_TOTAL = "store_writes_total", "Changes written to the database.";
    Counter STORE_WRITES_DROPPED_TOTAL = "store_writes_dropped_total", "Changes lost because the database was too slow or failed.";
}

/// Turns metrics on for this process and returns what prints them.
pub fn install() -> anyhow::Result<PrometheusHandle> {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let mut builder = PrometheusBuilder::new();
    for metric in TABLE.iter().filter(|metric| metric.kind == Kind::Histogram) {
        builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), &BUCKETS)?;
    }
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_ok() {
        TABLE.iter().for_each(Metric::describe);
        return Ok(HANDLE.get_or_init(|| handle).clone());
    }
    // Another thread was faster and is about to leave its handle here.
    Ok(HANDLE.wait().clone())
}

/// Seconds.
const BUCKETS: [f64; 10] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// `docs/reference/metrics.md`.
pub fn markdown() -> String {
    let mut page = String::from(
        "<!-- Generated from shell/server/src/metrics.rs by `make generate`; do not edit. -->\n\n# Metrics\n\n\
         `GET /metrics` in the Prometheus text format; who may read it is the setting `metrics.access`.\n\n\
         | Name | Type | Label | What it counts |\n|---|---|---|---|\n",
    );
    for metric in TABLE {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let label = metric.label.map_or_else(String::new, |label| format!("`{label}`"));
        let _ = writeln!(page, "| `{}` | {kind} | {label} | {} |", metric.name, metric.help);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule_and_are_unique() {
        let mut seen = std::collections::BTreeSet::new();
        for metric in TABLE {
            assert!(seen.insert(metric.name), "{} twice", metric.name);
            assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
            assert_eq!(metric.kind == Kind::Histogram, metric.name.ends_with("_seconds"), "{}", metric.name);
            assert!(metric.name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{}", metric.name);
        }
    }

    #[test]
    fn what_is_counted_is_printed_with_its_help() {
        let handle = install().expect("a recorder");
        HTTP_HANDSHAKES_FAILED_TOTAL.add_labelled("timeout", 3);
        let page = handle.render();
        assert!(page.contains("# TYPE http_handshakes_failed_total counter"), "{page}");
        assert!(page.contains("http_handshakes_failed_total{reason=\"timeout\"} 3"), "{page}");
        assert!(page.contains("http_connections_total 0"), "{page}");
    }
}
