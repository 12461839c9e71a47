//! `tandem turn peer`: sends back whatever comes, over UDP and TCP, for a relay's clients to measure against.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;

use super::{note, say};

/// Echo whatever comes over UDP and TCP until Ctrl-C: the other end for `tandem turn bench` and `turnutils_uclient`.
///
/// For tests: whoever can reach it can have it send to a forged address as much as they send themselves.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    /// Address to listen on.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0")]
    listen: IpAddr,
    /// Port, of UDP and of TCP; 0: any free one.
    #[arg(long, short, value_name = "PORT", default_value_t = PORT)]
    port: u16,
}

const EXAMPLES: &str = "Examples:
  tandem turn peer
  tandem turn peer --listen :: --port 9000
  turnutils_uclient -u alice -w PASSWORD -e 198.51.100.7 turn.example.org      with this as the peer at 198.51.100.7";

/// As in coturn's tools.
pub const PORT: u16 = 3480;

#[derive(Default)]
struct Counts {
    datagrams: AtomicU64,
    connections: AtomicU64,
    bytes: AtomicU64,
}

impl Counts {
    fn text(&self) -> String {
        let [datagrams, connections, bytes] =
            [&self.datagrams, &self.connections, &self.bytes].map(|count| count.load(Ordering::Relaxed));
        format!("{datagrams} datagrams, {connections} connections, {bytes} bytes sent back")
    }
}

/// Runs it.
pub fn run(command: &Command) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let (udp, tcp) = bind(command.listen, command.port).await?;
        say(&format!("echo on {}, UDP and TCP; Ctrl-C ends it", udp.local_addr()?));
        let counts = Arc::new(Counts::default());
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            ended = echo_datagrams(&udp, &counts) => ended.context("UDP")?,
            ended = echo_connections(&tcp, &counts) => ended.context("TCP")?,
            () = show(&counts) => {}
            interrupted = tokio::signal::ctrl_c() => interrupted?,
            _ = terminate.recv() => {}
        }
        if io::stderr().is_terminal() {
            note("");
        }
        say(&counts.text());
        Ok(())
    })
}

/// Both on one port.
async fn bind(listen: IpAddr, port: u16) -> anyhow::Result<(UdpSocket, TcpListener)> {
    let mut last = None;
    // A free port for UDP may be taken for TCP.
    for _ in 0..20 {
        let udp = UdpSocket::bind((listen, port)).await.with_context(|| format!("UDP port {port} of {listen}"))?;
        match TcpListener::bind((listen, udp.local_addr()?.port())).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) => last = Some(error),
        }
        if port != 0 {
            break;
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into())).with_context(|| format!("TCP port {port} of {listen}"))
}

async fn echo_datagrams(socket: &UdpSocket, counts: &Counts) -> io::Result<()> {
    let mut bytes = vec![0; 65_536];
    loop {
        // An ICMP error for an earlier echo shows here, and is nothing to end for.
        let Ok((length, from)) = socket.recv_from(&mut bytes).await else { continue };
        let datagram = bytes.get(..length).unwrap_or_default();
        if answered(socket, datagram, from).await {
            counts.datagrams.fetch_add(1, Ordering::Relaxed);
            counts.bytes.fetch_add(u64::try_from(length).unwrap_or(0), Ordering::Relaxed);
        }
    }
}

async fn answered(socket: &UdpSocket, datagram: &[u8], to: SocketAddr) -> bool {
    // Two echoes would talk for ever.
    to.port() != socket.local_addr().map_or(0, |own| own.port()) && socket.send_to(datagram, to).await.is_ok()
}

async fn echo_connections(listener: &TcpListener, counts: &Arc<Counts>) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
        let Ok((stream, _)) = listener.accept().await else {
            // No descriptor is free: one will be.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        counts.connections.fetch_add(1, Ordering::Relaxed);
        let counts = Arc::clone(counts);
        tokio::spawn(async move {
            // Its end is the other side's business.
            let _ = echo_stream(stream, &counts).await;
            drop(place);
        });
    }
}

async fn echo_stream(mut stream: TcpStream, counts: &Counts) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = vec![0; 16_384];
    loop {
        let length = stream.read(&mut bytes).await?;
        if length == 0 {
            return Ok(());
        }
        stream.write_all(bytes.get(..length).unwrap_or_default()).await?;
        counts.bytes.fetch_add(u64::try_from(length).unwrap_or(0), Ordering::Relaxed);
    }
}

/// A line that changes, on a terminal only.
async fn show(counts: &Counts) {
    if !io::stderr().is_terminal() {
        return std::future::pending().await;
    }
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    loop {
        ticks.tick().await;
        // A terminal that has gone away is no reason to stop.
        let _ = write!(io::stderr(), "\r{}\x1b[K", counts.text());
    }
}

const MOST_CONNECTIONS: usize = 1_000;
