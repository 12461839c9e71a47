//! Upgrades without an end: on SIGUSR2 the process becomes the program that lies where its own lay, and what is relayed
//! goes on.
//!
//! ```text
//! SIGUSR2 ─► the program there is asked: same forms, same ports? ──no──► told, everything stays as it is
//!               └─yes─► HTTP ends in order ─► relay is taken down ─► exec ─► relay goes on ─► store, engine, HTTP
//! ```
//!
//! The process stays the same one to whoever has started it: systemd, a container, a shell.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::config::Settings;
use crate::relay::{self, Handover};

/// What this process becomes.
#[derive(Clone)]
pub struct Successor {
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl Successor {
    /// The program that runs at the moment, or what will have taken its place. To be asked before that happens.
    pub fn find() -> anyhow::Result<Successor> {
        let program = std::env::current_exe().context("where this program lies cannot be found out")?;
        Ok(Successor { program, arguments: std::env::args_os().skip(1).collect() })
    }

    /// Asks the program whether it can go on with what is here.
    pub async fn check(&self, settings: &Settings) -> anyhow::Result<()> {
        let arguments = self.arguments.iter().map(|argument| match argument.to_str() {
            Some("serve") => OsString::from(QUESTION),
            _ => argument.clone(),
        });
        let mut question = Command::new(&self.program);
        question.args(arguments).env_remove(VARIABLE).stdin(Stdio::null());
        let answer = tokio::task::spawn_blocking(move || question.output());
        let answer = tokio::time::timeout(PATIENCE, answer).await.context("the program does not answer")??;
        let answer = answer.with_context(|| format!("{} cannot be run", self.program.display()))?;
        let said = String::from_utf8_lossy(&answer.stdout);
        if !answer.status.success() {
            bail!("the program would not start: {}", String::from_utf8_lossy(&answer.stderr).trim());
        }
        match differences(&terms(settings), &said).as_slice() {
            [] => Ok(()),
            differences => bail!("{}: stop and start instead", differences.join("; ")),
        }
    }

    /// Becomes the program. Returns only if it cannot.
    pub fn become_it(&self, handover: Option<RawFd>) -> anyhow::Error {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_remove(VARIABLE);
        if let Some(paper) = handover {
            command.env(VARIABLE, paper.to_string());
        }
        anyhow::Error::from(command.exec()).context(format!("{} cannot be run", self.program.display()))
    }
}

/// What the program before has left behind, if there was one.
pub fn inherited() -> Option<Handover> {
    let paper = std::env::var(VARIABLE).ok()?.parse().ok()?;
    match Handover::read(paper) {
        Ok(handover) => Some(handover),
        Err(error) => {
            tracing::error!(%error, "what was relayed ends");
            None
        }
    }
}

/// On what both programs must agree, a line each. What can change from one to the other is not among it.
pub fn terms(settings: &Settings) -> String {
    let (http, relay) = (&settings.http, &settings.relay);
    let lines = [
        ("the form of what is handed over", relay::form()),
        ("data_dir", settings.data_dir.display().to_string()),
        ("http.address", http.address.to_string()),
        ("http.port", http.port.to_string()),
        ("http.redirect_port", http.redirect_port.to_string()),
        ("http.behind_proxy", http.behind_proxy.to_string()),
        ("relay.enabled", relay.enabled.to_string()),
        ("relay.port", relay.port.to_string()),
        ("relay.listen_addresses", format!("{:?}", relay.listen_addresses)),
        ("relay.tls_port", relay.tls_port.to_string()),
        ("relay.port_range", format!("{}-{}", relay.port_range.first, relay.port_range.last)),
        ("relay.discovery_addresses", format!("{:?}", relay.discovery_addresses)),
        ("relay.discovery_port", relay.discovery_port.to_string()),
    ];
    lines.map(|(name, value)| format!("{name}: {value}\n")).concat()
}

fn differences(ours: &str, theirs: &str) -> Vec<String> {
    let (mut theirs, mut found) = (theirs.lines(), Vec::new());
    for ours in ours.lines() {
        match theirs.next() {
            Some(same) if same == ours => {}
            Some(other) => found.push(format!("expected {ours}, got {other}")),
            None => found.push(format!("expected {ours}, got nothing")),
        }
    }
    found.extend(theirs.next().map(|more| format!("got {more}, which nobody knows here")));
    found
}

/// The command that answers with the terms.
pub const QUESTION: &str = "upgrade-terms";
/// Names the descriptor of what is handed over. Not a setting.
const VARIABLE: &str = "HANDED_OVER_TO_TANDEM";
/// To read settings takes no longer.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_another_form_or_with_other_ports_is_told_apart() {
        let ours = terms(&Settings::default());
        assert!(differences(&ours, &ours).is_empty());
        let mut other = Settings::default();
        other.relay.port = 3479;
        let found = differences(&ours, &terms(&other));
        assert_eq!(found, ["expected relay.port: 3478, got relay.port: 3479"]);
        assert!(!differences(&ours, "").is_empty());
        assert!(!differences(&ours, &format!("{ours}more: 1\n")).is_empty());
    }
}
