//! `tandem stun vectors`: the RFCs' test vectors through this build.

use anyhow::bail;
use tandem_stun::vectors::checks;

use crate::cli::say;

/// Runs it.
pub fn run() -> anyhow::Result<()> {
    let checks = checks();
    for check in &checks {
        say(&format!("{}  {:<14} {}", if check.holds { "ok    " } else { "FAILED" }, check.section, check.what));
    }
    match checks.iter().filter(|check| !check.holds).count() {
        0 => Ok(()),
        failed => bail!("{failed} of {} do not hold: this build is not to be trusted", checks.len()),
    }
}
