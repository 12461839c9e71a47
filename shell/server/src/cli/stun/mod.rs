//! `tandem stun ADDRESS`: asks a STUN server how it sees us, RFC 8489 §6.2.1 over UDP.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use tandem_stun::client::{Binding, Outcome};

use super::resolve::{Families, resolve, unspecified};
use super::{note, say};

mod nat;
mod vectors;

/// Ask a STUN server (any, not only ours) under which address it sees this machine.
#[derive(Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Command {
    #[command(subcommand)]
    other: Option<Other>,
    /// Name or address, with or without a port.
    #[arg(value_name = "ADDRESS[:PORT]", required = true)]
    server: Option<String>,
    #[command(flatten)]
    families: Families,
}

/// What else there is to ask.
#[derive(Subcommand)]
enum Other {
    Nat(nat::Command),
    /// Run the test vectors of RFC 5769 and RFC 8489 through this build; exit code 0 if all hold.
    #[command(after_help = "Examples:\n  tandem stun vectors && echo this build reads and signs as the RFCs say")]
    Vectors,
}

const EXAMPLES: &str = "Examples:
  tandem stun talk.example.org          is our relay's port open from here?
  tandem stun -6 '[2001:db8::1]:3478'
  tandem stun nat talk.example.org      what kind of NAT is in between?
  tandem stun vectors                   does this build read and sign as the RFCs say?
Exit code 0: it has answered.";

const PORT: u16 = 3478;

/// Runs it.
pub fn run(command: &Command) -> anyhow::Result<()> {
    match (&command.other, &command.server) {
        (Some(Other::Nat(command)), _) => nat::run(command),
        (Some(Other::Vectors), _) => vectors::run(),
        (None, Some(server)) => mapped(server, command.families),
        (None, None) => bail!("expected the address of a server"),
    }
}

/// The machine says so.
fn nobody(server: std::net::SocketAddr) -> String {
    let (address, port) = (server.ip(), server.port());
    format!("nobody listens on UDP port {port} of {address}; another port is named as NAME:PORT")
}

fn mapped(server: &str, families: Families) -> anyhow::Result<()> {
    let server = resolve(server, PORT, families)?;
    let socket = UdpSocket::bind(unspecified(server)).context("no UDP socket can be had")?;
    // Connected, the socket hears of ICMP errors, and of nobody but the server.
    socket.connect(server).with_context(|| format!("there is no way to {server}"))?;
    let mut transaction = [0; 12];
    getrandom::fill(&mut transaction)
        .map_err(|error| anyhow::anyhow!("the system gives no random numbers: {error}"))?;
    match ask(&socket, Binding::new(Instant::now(), transaction))? {
        Outcome::Mapped { address, software, took } => {
            say(&address.to_string());
            let by = software.map_or_else(String::new, |software| format!(" ({software})"));
            let nat = if socket.local_addr()? == address { "no NAT is in between" } else { "a NAT is in between" };
            note(&format!("{server}{by} answered after {:.1} ms; {nat}", took.as_secs_f64() * 1000.0));
            Ok(())
        }
        Outcome::Refused { code, reason } => bail!("{server} refuses: {code} {reason}"),
        Outcome::NoAnswer { requests } => {
            bail!("{server} has not answered any of {requests} requests: is it up, and is UDP let through?")
        }
    }
}

fn ask(socket: &UdpSocket, mut binding: Binding) -> anyhow::Result<Outcome> {
    let mut bytes = [0; 1500];
    let mut asked = 0_u32;
    loop {
        if let Some(outcome) = binding.outcome() {
            return Ok(outcome.clone());
        }
        if let Some(request) = binding.poll_output() {
            asked += 1;
            if asked == 2 {
                note("No answer yet; asking again for up to 40 s (Ctrl-C stops).");
            }
            // Another try follows, whatever became of this one.
            let _ = socket.send(request);
        }
        let due = binding.poll_timeout().map(|due| due.saturating_duration_since(Instant::now()));
        // A read without a limit would be one of zero.
        socket.set_read_timeout(Some(due.unwrap_or_default().max(Duration::from_millis(1))))?;
        match socket.recv(&mut bytes) {
            Ok(length) => binding.handle_datagram(Instant::now(), bytes.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                bail!(nobody(socket.peer_addr()?))
            }
            // It was time, or a signal.
            Err(_) => {}
        }
        binding.handle_timeout(Instant::now());
    }
}
