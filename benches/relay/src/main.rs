//! Ours beside Debian's coturn and beside the bare cost of forwarding, in one run on one machine.
//!
//! The server has one processor, clients and peers the other. What is told is processor time of the server for each
//! relayed packet (from client to peer is one, its echo another), and the ratio to coturn. Rounds alternate between the
//! servers; the median counts. All of it goes through the wire: nothing is known of a server but its ports.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a program of the bench: it prints, computes ratios, and may panic on what it has made itself"
)]

mod allocations;
mod floor;
mod link;
mod load;
mod os;
mod place;
mod servers;
mod table;
mod turn;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};

use link::Transport;
use load::{Framing, Load};
use place::Place;
use servers::{CLIENT_PROCESSOR, Offload, Programs, Server};
use table::Table;

/// The loads, and which servers carry them.
const LOADS: &[Load] = &[
    load("UDP, one message of 200 B", Transport::Plain, 100, 1, 200),
    Load {
        every: Some(Duration::from_millis(20)),
        ..load("UDP, calls at ease: 50/s of 200 B each", Transport::Plain, 200, 1, 200)
    },
    load("UDP, bursts of 8 × 1000 B", Transport::Merged, 100, 8, 1_000),
    load("UDP, bursts of 8 × 1000 B, no offload at clients", Transport::Plain, 100, 8, 1_000),
    indication("UDP, Send indications, one of 200 B", Transport::Plain, 1, 200),
    load("TCP, one message of 200 B", Transport::Tcp, 100, 1, 200),
    load("TCP, bursts of 8 × 1000 B", Transport::Tcp, 100, 8, 1_000),
    load("TLS, one message of 200 B", Transport::Tls, 100, 1, 200),
    load("TLS, bursts of 8 × 1000 B", Transport::Tls, 100, 8, 1_000),
    load("DTLS, one message of 200 B", Transport::Dtls, 100, 1, 200),
    load("DTLS, bursts of 8 × 1000 B", Transport::Dtls, 100, 8, 1_000),
    connection("RFC 6062, one message of 200 B", Transport::Tcp, 1, 200),
    connection("RFC 6062, bursts of 8 × 1000 B", Transport::Tcp, 8, 1_000),
    connection("RFC 6062, bursts of 4 × 60000 B", Transport::Tcp, 4, 60_000),
    connection("RFC 6062 by TLS, bursts of 8 × 1000 B", Transport::Tls, 8, 1_000),
];

/// The loads across a link: ours by sockets, and inside the kernel.
const LINKED: &[(Load, Offload)] = &[
    (load("UDP across a link, one message of 200 B", Transport::Plain, 100, 1, 200), Offload::None),
    (load("UDP across a link, one message of 200 B, offload", Transport::Plain, 100, 1, 200), Offload::Kernel),
];

const fn load(name: &'static str, transport: Transport, flows: usize, window: usize, payload: usize) -> Load {
    Load { name, transport, framing: Framing::Channel, flows, window, payload, every: None }
}

const fn indication(name: &'static str, transport: Transport, window: usize, payload: usize) -> Load {
    Load { name, transport, framing: Framing::Indication, flows: 100, window, payload, every: None }
}

const fn connection(name: &'static str, transport: Transport, window: usize, payload: usize) -> Load {
    Load { name, transport, framing: Framing::Connection, flows: 50, window, payload, every: None }
}

/// What the command line says.
struct Options {
    programs: Programs,
    rounds: usize,
    time: Duration,
    json: Option<PathBuf>,
    /// Only what has this in its name.
    only: String,
    without: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("floor") => floor::serve(arguments.next().context("expected a port")?.parse()?),
        Some("bench") => bench(&options(arguments)?),
        other => bail!("expected `bench` or `floor`, got {other:?}"),
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Options> {
    let folder = std::env::temp_dir().join(format!("tandem-bench-relay-{}", std::process::id()));
    let (tandem, coturn) = (PathBuf::from("tandem"), PathBuf::from("turnserver"));
    let programs = Programs { tandem, coturn, realtime: false, folder };
    let mut options = Options {
        programs,
        rounds: 3,
        time: Duration::from_secs(2),
        json: None,
        only: String::new(),
        without: Vec::new(),
    };
    while let Some(flag) = arguments.next() {
        if flag == "--realtime" {
            options.programs.realtime = true;
            continue;
        }
        let value = arguments.next().with_context(|| format!("expected a value after {flag}"))?;
        match flag.as_str() {
            "--tandem" => options.programs.tandem = std::path::absolute(value)?,
            "--coturn" => options.programs.coturn = value.into(),
            "--rounds" => options.rounds = value.parse()?,
            "--seconds" => options.time = Duration::from_secs_f64(value.parse()?),
            "--json" => options.json = Some(value.into()),
            "--only" => options.only = value,
            "--without" => options.without.push(value),
            _ => bail!("unknown flag {flag}"),
        }
    }
    Ok(options)
}

fn bench(options: &Options) -> anyhow::Result<()> {
    os::pin(CLIENT_PROCESSOR).context("two processors are needed")?;
    if options.programs.realtime {
        os::set_realtime().context("--realtime needs root")?;
    }
    let mut table = Table::default();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        loads(options, &mut table)?;
        linked(options, &mut table)?;
        memory(options, &mut table)?;
    }
    println!("{}", table.markdown());
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_string_pretty(&table.json())?)?;
    }
    std::fs::remove_dir_all(&options.programs.folder)?;
    Ok(())
}

fn servers(options: &Options) -> impl Iterator<Item = Server> {
    let all = [Server::Coturn, Server::Tandem, Server::Floor];
    all.into_iter().filter(|server| !options.without.iter().any(|name| name == server.name()))
}

fn loads(options: &Options, table: &mut Table) -> anyhow::Result<()> {
    for load in LOADS.iter().filter(|load| load.name.contains(&options.only)) {
        for server in servers(options) {
            let floor_can = matches!(load.transport, Transport::Merged | Transport::Plain);
            if server == Server::Floor && (!floor_can || load.framing == Framing::Indication) {
                continue;
            }
            measure(options, table, (load, Offload::None), (server, &Place::Loopback))?;
        }
    }
    Ok(())
}

/// What takes place across a link; as root, and where the kernel lets a program in.
fn linked(options: &Options, table: &mut Table) -> anyhow::Result<()> {
    let wanted: Vec<_> = LINKED.iter().filter(|(load, _)| load.name.contains(&options.only)).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    if let Err(error) = os::set_kernel_program_accounts(true) {
        eprintln!("  nothing is measured across a link: that needs root ({error})");
        return Ok(());
    }
    // The thread takes its end of the link with it when it ends.
    let run = || -> anyhow::Result<()> {
        let place = Place::link()?;
        for (load, offload) in wanted {
            for server in servers(options).filter(|&server| server != Server::Floor) {
                measure(options, table, (load, *offload), (server, &place))?;
            }
        }
        Ok(())
    };
    let result = std::thread::scope(|scope| scope.spawn(run).join().expect("the thread has not panicked"));
    os::set_kernel_program_accounts(false)?;
    result
}

fn measure(
    options: &Options,
    table: &mut Table,
    (load, offload): (&Load, Offload),
    (server, place): (Server, &Place),
) -> anyhow::Result<()> {
    let running = options.programs.start(server, place, offload)?;
    let outcome =
        load::run(load, &running, options.time).with_context(|| format!("{} at {}", load.name, server.name()))?;
    eprintln!(
        "  {:<50} {:<7} {:>6.2} µs {:>8.0}/s busy {:>3.0} % lost {:.2} %",
        load.name,
        server.name(),
        outcome.micros,
        outcome.rate,
        outcome.busy * 100.0,
        outcome.lost * 100.0
    );
    table.add(load.name, "µs per packet", server, outcome.micros);
    table.note(load.name, server, outcome);
    if offload == Offload::Kernel && server == Server::Tandem {
        if outcome.in_kernel == 0.0 {
            bail!("expected packets to be relayed inside the kernel, see {}", options.programs.folder.display());
        }
        table.add(&format!("{}: of that, the program", load.name), "µs per packet", server, outcome.in_kernel);
    }
    Ok(())
}

fn memory(options: &Options, table: &mut Table) -> anyhow::Result<()> {
    for server in servers(options) {
        for count in [2_000, 10_000] {
            let name = format!("{count} allocations");
            if !name.contains(&options.only) {
                continue;
            }
            let running = options.programs.start(server, &Place::Loopback, Offload::None)?;
            if server == Server::Floor {
                table.add(&name, "µs each", server, allocations::floor(count, &running)?);
                continue;
            }
            let cost = allocations::run(count, &running).with_context(|| format!("{name} at {}", server.name()))?;
            eprintln!(
                "  {name:<50} {:<7} {:.0} µs, release {:.0} µs, {:.2} KiB, after release {:.2} KiB",
                server.name(),
                cost.micros,
                cost.release_micros,
                cost.resident,
                cost.left
            );
            table.add(&name, "µs each", server, cost.micros);
            table.add(&format!("{name}: release"), "µs each", server, cost.release_micros);
            table.add(&format!("{name}: memory"), "KiB each", server, cost.resident);
            table.add(&format!("{name}: memory after release"), "KiB each", server, cost.left);
        }
        if server != Server::Floor && "flood of strangers".contains(&options.only) {
            let running = options.programs.start(server, &Place::Loopback, Offload::None)?;
            let cost = allocations::flood(20_000, &running)?;
            eprintln!("  flood {:<44} {:<7} {:.1} µs, {:.3} KiB", "", server.name(), cost.micros, cost.resident);
            table.add("20000 strangers ask to allocate", "µs each", server, cost.micros);
            table.add("20000 strangers ask to allocate: memory", "KiB each", server, cost.resident);
        }
    }
    Ok(())
}
