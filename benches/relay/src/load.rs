//! Closed-loop load: every flow has a fixed number of messages under way; when all have come back from the peer it sends
//! as many again. One thread does clients and peer, and never sleeps.

use std::io::{ErrorKind, Read as _};
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::link::{Link, Transport, write_busily};
use crate::os::{self, Batch, Epoll};
use crate::servers::{Running, Server};
use crate::turn::{self, Signer, Step};

/// What is sent.
#[derive(Clone, Copy)]
pub struct Load {
    pub name: &'static str,
    pub transport: Transport,
    pub framing: Framing,
    pub flows: usize,
    /// Messages of a flow under way.
    pub window: usize,
    /// Bytes of each.
    pub payload: usize,
    /// How often each flow sends, whatever has come back. `None`: as soon as all have come back.
    pub every: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Channel,
    Indication,
    /// Connections with peers (RFC 6062): the bytes are anything; these look like ChannelData, to be counted.
    Connection,
}

/// What came of it.
#[derive(Clone, Copy, Default)]
pub struct Outcome {
    /// Processor time of the server for each relayed packet, in microseconds: its process, and its program in the kernel.
    pub micros: f64,
    /// Of that, the program in the kernel.
    pub in_kernel: f64,
    /// Relayed packets per second, both directions.
    pub rate: f64,
    /// Part of its processor that the server used.
    pub busy: f64,
    /// Part of the messages that did not come back.
    pub lost: f64,
}

struct Flow {
    link: Link,
    /// What keeps the allocation, where `link` is a data connection.
    _control: Option<Link>,
    /// The peer's end of a connection, and how many bytes of a message it has.
    far: Option<(TcpStream, usize)>,
    frames: Vec<u8>,
    size: usize,
    under_way: usize,
    since: Instant,
}

#[derive(Clone, Copy, Default)]
struct Tally {
    sent: u64,
    at_peer: u64,
    back: u64,
    lost: u64,
}

/// Runs a load for a while; the first moments do not count.
pub fn run(load: &Load, server: &Running<'_>, time: Duration) -> anyhow::Result<Outcome> {
    let peer = UdpSocket::bind((server.place.peer(), 0))?;
    peer.set_nonblocking(true)?;
    os::set_buffers(peer.as_raw_fd());
    if load.transport != Transport::Plain {
        os::set_udp(peer.as_raw_fd(), libc::UDP_GRO, 1)?;
    }
    let mut flows =
        (0..load.flows).map(|index| open(load, server, index, v4(&peer)?)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut wheel = Wheel::new(&peer, &flows, load)?;
    wheel.turn(&mut flows, &peer, Duration::from_millis(300))?;
    let kernel = os::kernel_program_time(server.pid())?;
    let (before, cpu, start) = (wheel.tally, os::processor_time(server.pid())?, Instant::now());
    wheel.turn(&mut flows, &peer, time)?;
    let (elapsed, cpu) = (start.elapsed(), os::processor_time(server.pid())? - cpu);
    let kernel = os::kernel_program_time(server.pid())? - kernel;
    let relayed = (wheel.tally.at_peer - before.at_peer) + (wheel.tally.back - before.back);
    if relayed == 0 {
        bail!("nothing was relayed");
    }
    let nanos = elapsed.as_nanos() as f64;
    Ok(Outcome {
        micros: (cpu + kernel) as f64 / 1_000.0 / relayed as f64,
        in_kernel: kernel as f64 / 1_000.0 / relayed as f64,
        rate: relayed as f64 * 1e9 / nanos,
        busy: cpu as f64 / nanos,
        lost: (wheel.tally.lost - before.lost) as f64 / (wheel.tally.sent - before.sent).max(1) as f64,
    })
}

fn open(load: &Load, server: &Running<'_>, index: usize, peer: SocketAddrV4) -> anyhow::Result<Flow> {
    let over_tls = matches!(load.transport, Transport::Tls | Transport::Dtls);
    let address = if over_tls { server.tls } else { server.plain };
    if load.framing == Framing::Connection {
        return open_connection(load, server, index, address);
    }
    let mut link = Link::open(load.transport, server.place.client(index), address)?;
    if server.kind == Server::Floor {
        let [p0, p1] = peer.port().to_be_bytes();
        link.send(&[0, 0, p0, p1])?;
        link.receive()?;
    } else {
        let mut signer = Signer::new(&server.login, u64::try_from(index)?);
        signer.ask(&mut link, &Step::Allocate)?;
        let step = match load.framing {
            Framing::Channel | Framing::Connection => Step::Bind(peer),
            Framing::Indication => Step::Permit(peer),
        };
        signer.ask(&mut link, &step)?;
    }
    let frame = match load.framing {
        Framing::Channel | Framing::Connection => turn::channel_data(load.payload),
        Framing::Indication => turn::send_indication(peer, load.payload),
    };
    link.set_polled()?;
    Ok(Flow::new(link, &frame, load.window))
}

/// A connection with a peer, joined with one of the client.
fn open_connection(load: &Load, server: &Running<'_>, index: usize, address: SocketAddrV4) -> anyhow::Result<Flow> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let peer = SocketAddrV4::new([127, 0, 0, 1].into(), listener.local_addr()?.port());
    let mut control = Link::open(load.transport, turn::client_address(index), address)?;
    let mut signer = Signer::new(&server.login, u64::try_from(index)?);
    signer.ask(&mut control, &Step::AllocateConnections)?;
    let answer = signer.ask(&mut control, &Step::Connect(peer))?;
    let (far, _) = listener.accept()?;
    far.set_nodelay(true)?;
    far.set_nonblocking(true)?;
    let mut link = Link::open(load.transport, turn::client_address(index), address)?;
    signer.ask(&mut link, &Step::BindConnection(turn::connection_of(&answer)?))?;
    link.set_polled()?;
    let mut flow = Flow::new(link, &turn::channel_data(load.payload), load.window);
    (flow._control, flow.far) = (Some(control), Some((far, 0)));
    Ok(flow)
}

impl Flow {
    fn new(link: Link, frame: &[u8], window: usize) -> Self {
        let (size, frames) = (frame.len(), frame.repeat(window));
        Self { link, _control: None, far: None, frames, size, under_way: 0, since: Instant::now() }
    }

    /// What has come to the peer goes back; how many whole messages that were.
    fn echo(&mut self, part: &mut [u8]) -> anyhow::Result<u64> {
        let Some((far, begun)) = &mut self.far else { return Ok(0) };
        match far.read(part) {
            Ok(0) => bail!("the server has closed a peer's connection"),
            Ok(count) => {
                write_busily(far, &part[..count])?;
                let bytes = *begun + count;
                *begun = bytes % self.size;
                Ok((bytes / self.size) as u64)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

fn v4(socket: &UdpSocket) -> anyhow::Result<SocketAddrV4> {
    match socket.local_addr()? {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(_) => bail!("expected IPv4"),
    }
}

/// What turns the load round.
struct Wheel {
    epoll: Epoll,
    ready: Vec<u64>,
    wide: Batch,
    narrow: Batch,
    part: Vec<u8>,
    window: usize,
    pace: Option<Pace>,
    tally: Tally,
}

/// Flows that send in turn, evenly spread over the time in which each sends once.
struct Pace {
    step: Duration,
    next: Instant,
    flow: usize,
}

impl Wheel {
    fn new(peer: &UdpSocket, flows: &[Flow], load: &Load) -> anyhow::Result<Self> {
        let epoll = Epoll::new()?;
        epoll.add(peer.as_raw_fd(), PEER)?;
        for (token, flow) in (0..).zip(flows) {
            epoll.add(flow.link.fd(), token)?;
            if let Some((far, _)) = &flow.far {
                epoll.add(far.as_raw_fd(), FAR | token)?;
            }
        }
        Ok(Self {
            epoll,
            ready: Vec::new(),
            wide: Batch::new(64),
            narrow: Batch::new(8),
            part: vec![0; 65_536],
            window: load.window,
            pace: load.every.map(|every| Pace {
                step: every / u32::try_from(flows.len()).unwrap_or(1),
                next: Instant::now(),
                flow: 0,
            }),
            tally: Tally::default(),
        })
    }

    fn turn(&mut self, flows: &mut [Flow], peer: &UdpSocket, time: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + time;
        let mut checked = Instant::now();
        if self.pace.is_none() {
            self.revive(flows, Duration::ZERO)?;
        }
        loop {
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            self.keep_pace(flows, now)?;
            if self.pace.is_none() && now - checked > Duration::from_millis(20) {
                checked = now;
                self.revive(flows, PATIENCE)?;
            }
            let mut ready = std::mem::take(&mut self.ready);
            self.epoll.ready(0, &mut ready);
            for &token in &ready {
                match token {
                    PEER => self.on_peer(peer),
                    far if far & FAR != 0 => {
                        let flow = flows.get_mut(usize::try_from(far & !FAR)?).context("a token of ours")?;
                        self.tally.at_peer += flow.echo(&mut self.part)?;
                    }
                    token => {
                        let flow = flows.get_mut(usize::try_from(token)?).context("a token of ours")?;
                        self.on_flow(flow, now)?;
                    }
                }
            }
            self.ready = ready;
        }
    }

    fn on_peer(&mut self, peer: &UdpSocket) {
        for _ in 0..4 {
            let read = self.wide.receive(peer.as_raw_fd(), 64);
            if read == 0 {
                return;
            }
            self.tally.at_peer += self.wide.echo(peer.as_raw_fd()) as u64;
            if read < 64 {
                return;
            }
        }
    }

    fn on_flow(&mut self, flow: &mut Flow, now: Instant) -> anyhow::Result<()> {
        let count = flow.link.collect(&mut self.narrow, &mut self.part)?;
        self.tally.back += count as u64;
        flow.under_way = flow.under_way.saturating_sub(count);
        if flow.under_way == 0 && self.pace.is_none() {
            self.refill(flow, now)?;
        }
        Ok(())
    }

    fn keep_pace(&mut self, flows: &mut [Flow], now: Instant) -> anyhow::Result<()> {
        while let Some(pace) = self.pace.as_mut().filter(|pace| pace.next <= now) {
            pace.next += pace.step;
            let index = pace.flow;
            pace.flow = (index + 1) % flows.len();
            let flow = &mut flows[index];
            self.tally.lost += flow.under_way as u64;
            self.refill(flow, now)?;
        }
        Ok(())
    }

    fn refill(&mut self, flow: &mut Flow, now: Instant) -> anyhow::Result<()> {
        flow.under_way = self.window;
        flow.since = now;
        self.tally.sent += self.window as u64;
        flow.link.burst(&flow.frames, flow.size)
    }

    /// What has not come back by now is lost: the flow goes on without it.
    fn revive(&mut self, flows: &mut [Flow], patience: Duration) -> anyhow::Result<()> {
        let now = Instant::now();
        for flow in flows {
            if flow.under_way == 0 || (!patience.is_zero() && now - flow.since > patience) {
                self.tally.lost += flow.under_way as u64;
                self.refill(flow, now)?;
            }
        }
        Ok(())
    }
}

const PEER: u64 = u64::MAX;
/// Added to the number of a flow: its peer's end.
const FAR: u64 = 1 << 32;
const PATIENCE: Duration = Duration::from_millis(200);
