//! Descriptors: each connection and each relayed stream takes one. Most systems give a process 1,024 and let it ask for more.

use std::io;

use crate::config::Settings;

/// Database, listeners, logs, and what libraries open.
const ASIDE: u64 = 256;

/// Takes all the system lets us have, and says so when that is less than the settings promise.
pub fn raise(settings: &Settings) {
    let wanted = u64::from(settings.limits.connections)
        .saturating_add(if settings.relay.enabled { u64::from(settings.relay.allocations) } else { 0 })
        .saturating_add(ASIDE);
    match raise_to_most() {
        Ok(most) if most < wanted => tracing::warn!(
            most,
            wanted,
            "the system gives this process fewer descriptors than limits.connections and relay.allocations need: raise \
             its hard limit (ulimit -Hn, LimitNOFILE= of systemd), or lower these"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of descriptors stays as it is"),
    }
}

#[allow(unsafe_code, reason = "the standard library has no word for it")]
fn raise_to_most() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call writes the struct it is given.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the call reads the struct it is given.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_max)
}
