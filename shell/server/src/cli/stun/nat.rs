//! `tandem stun nat`: what kind of NAT is in between, in words, RFC 5780.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use tandem_stun::client::{Behaviour, Binding, Dependence, Discoverer, Side, Undiscovered};

use crate::cli::resolve::{Families, resolve, unspecified};
use crate::cli::{note, say};

/// Find out what kind of NAT is between this machine and a STUN server with two addresses (RFC 5780).
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    /// Name or address, with or without a port. It needs a second address: `relay.discovery_addresses` here, two
    /// `listening-ip` at coturn.
    #[arg(value_name = "SERVER[:PORT]")]
    server: String,
    #[command(flatten)]
    families: Families,
}

const EXAMPLES: &str = "Examples:
  tandem stun nat talk.example.org
Takes up to 15 seconds, because silence is an answer, too. Exit code 0: something was found out.";

/// Runs it.
pub fn run(command: &Command) -> anyhow::Result<()> {
    let server = resolve(&command.server, 3478, command.families)?;
    let local = local_address(server)?;
    let (first, second) = (UdpSocket::bind(unspecified(server))?, UdpSocket::bind(unspecified(server))?);
    let here = SocketAddr::new(local.ip(), first.local_addr()?.port());
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| anyhow::anyhow!("the system gives no random numbers: {error}"))?;
    match discover([&first, &second], Discoverer::new(Instant::now(), server, seed))? {
        Ok(behaviour) => {
            say(&describe(here, &behaviour));
            if behaviour.mapping.is_none() {
                note(&format!("{server} does not answer from a second address: no more can be found out there"));
            }
            Ok(())
        }
        Err(failed) => bail!("{server}: {failed}: is it up, and is UDP let through?"),
    }
}

/// The address of ours that packets to the server leave from. Fails where its machine says that nobody is there.
fn local_address(server: SocketAddr) -> anyhow::Result<SocketAddr> {
    let socket = UdpSocket::bind(unspecified(server)).context("no UDP socket can be had")?;
    socket.connect(server).with_context(|| format!("there is no way to {server}"))?;
    let local = socket.local_addr()?;
    // The sockets that ask are not connected, and hear nothing of a port that nobody listens on.
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    if let Some(request) = Binding::new(Instant::now(), [0; 12]).poll_output() {
        let heard = socket.send(request).and_then(|_| socket.recv(&mut [0; 2_000]));
        if heard.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused) {
            bail!(super::nobody(server));
        }
    }
    Ok(local)
}

fn discover(
    [first, second]: [&UdpSocket; 2],
    mut discoverer: Discoverer,
) -> anyhow::Result<Result<Behaviour, Undiscovered>> {
    let mut bytes = [0; 2_000];
    loop {
        while let Some(probe) = discoverer.poll_output() {
            let socket = if probe.from == Side::First { first } else { second };
            // Another try follows, whatever became of this one.
            let _ = socket.send_to(&probe.bytes, probe.to);
        }
        if let Some(outcome) = discoverer.outcome() {
            return Ok(outcome);
        }
        let wait = discoverer.poll_timeout().map(|due| due.saturating_duration_since(Instant::now()));
        // A read without a limit would be one of zero.
        first.set_read_timeout(Some(wait.unwrap_or_default().max(Duration::from_millis(1))))?;
        if let Ok((length, from)) = first.recv_from(&mut bytes) {
            let datagram = bytes.get(..length).unwrap_or_default();
            discoverer.handle_datagram(Instant::now(), Side::First, from, datagram);
        }
        discoverer.handle_timeout(Instant::now());
    }
}

/// In words, and in those of RFC 4787.
fn describe(here: SocketAddr, found: &Behaviour) -> String {
    let nat = found.mapped != here;
    let mut lines = vec![match nat {
        true => format!("A NAT is in between: {here} is seen as {}.", found.mapped),
        false => format!("No NAT is in between: {here} is seen as it is."),
    }];
    lines.extend(found.mapping.filter(|_| nat).map(|mapping| maps(mapping).to_owned()));
    lines.extend(found.filtering.map(|filtering| lets_in(filtering).to_owned()));
    if nat {
        lines.push(match found.hairpin {
            true => "Two machines behind it reach each other by their public addresses (hairpinning).".to_owned(),
            false => {
                "Two machines behind it do not reach each other by their public addresses (no hairpinning).".to_owned()
            }
        });
    }
    lines.extend(outlook(nat, found).map(str::to_owned));
    lines.join("\n")
}

fn maps(mapping: Dependence) -> &'static str {
    match mapping {
        Dependence::EndpointIndependent => {
            "It keeps one public address for whomever one writes to (endpoint-independent mapping)."
        }
        Dependence::AddressDependent => {
            "It takes another public address for each address one writes to (address-dependent mapping)."
        }
        Dependence::AddressAndPortDependent => {
            "It takes another public address for each address and port one writes to (address and port-dependent \
             mapping, \"symmetric\")."
        }
    }
}

fn lets_in(filtering: Dependence) -> &'static str {
    match filtering {
        Dependence::EndpointIndependent => "Anybody can write to that address (endpoint-independent filtering).",
        Dependence::AddressDependent => {
            "Only addresses one has written to can answer, from any port (address-dependent filtering)."
        }
        Dependence::AddressAndPortDependent => {
            "Only the address and port one has written to can answer (address and port-dependent filtering)."
        }
    }
}

/// What it means for calls.
fn outlook(nat: bool, found: &Behaviour) -> Option<&'static str> {
    Some(match found.mapping? {
        _ if !nat => "Direct calls work.",
        Dependence::EndpointIndependent => "Direct calls work with most other networks.",
        Dependence::AddressDependent | Dependence::AddressAndPortDependent => {
            "Direct calls work only with others whose NAT lets in any port; else a relay is needed."
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_before_jargon_and_an_open_machine_hears_nothing_of_mappings() {
        let here: SocketAddr = ([10, 0, 0, 2], 5_000).into();
        let found = Behaviour {
            mapped: ([203, 0, 113, 1], 40_000).into(),
            mapping: Some(Dependence::AddressAndPortDependent),
            filtering: Some(Dependence::AddressDependent),
            hairpin: false,
        };
        let text = describe(here, &found);
        assert!(text.starts_with("A NAT is in between: 10.0.0.2:5000 is seen as 203.0.113.1:40000.\n"), "{text}");
        assert!(text.contains("symmetric") && text.contains("a relay is needed"), "{text}");
        let open = describe(here, &Behaviour { mapped: here, mapping: Some(Dependence::EndpointIndependent), ..found });
        assert!(
            open.starts_with("No NAT") && !open.contains("mapping") && open.ends_with("Direct calls work."),
            "{open}"
        );
        let unknown = describe(here, &Behaviour { mapping: None, filtering: None, ..found });
        assert!(!unknown.contains("irect calls"), "{unknown}");
    }
}
