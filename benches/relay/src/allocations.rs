//! What allocations cost, what remains of them, and what strangers cost.

use std::net::{SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::link::{Link, Transport};
use crate::os::{self, Epoll};
use crate::servers::Running;
use crate::turn::{self, Signer, Step};

/// Of one run, for each allocation: microseconds and KiB.
#[derive(Clone, Copy, Default)]
pub struct Allocations {
    pub micros: f64,
    pub release_micros: f64,
    pub resident: f64,
    /// What is still resident after all have been released.
    pub left: f64,
}

/// 401, Allocate and ChannelBind for each client; then Refresh with lifetime zero. A few clients are at it at a time, so
/// that neither side sleeps between two messages.
pub fn run(count: usize, server: &Running<'_>) -> anyhow::Result<Allocations> {
    let peer = SocketAddrV4::new([127, 0, 0, 1].into(), 9);
    let client = |index: usize| -> anyhow::Result<Client> {
        Client::new(index, server, Voice::Turn(Box::new(Signer::new(&server.login, u64::try_from(index)?))))
    };
    // What the first ones bring with them is not theirs.
    let mut first = (0..50).map(client).collect::<anyhow::Result<Vec<_>>>()?;
    take_steps(&mut first, &[Step::Allocate, Step::Release])?;
    let mut clients = (100..100 + count).map(client).collect::<anyhow::Result<Vec<_>>>()?;
    std::thread::sleep(SETTLE);
    let (memory, cpu) = (os::resident(server.pid())?, os::processor_time(server.pid())?);
    take_steps(&mut clients, &[Step::Allocate, Step::Bind(peer)])?;
    let (full, used) = (os::resident(server.pid())?, os::processor_time(server.pid())? - cpu);
    let cpu = os::processor_time(server.pid())?;
    take_steps(&mut clients, &[Step::Release])?;
    let released = os::processor_time(server.pid())? - cpu;
    drop(clients);
    std::thread::sleep(SETTLE);
    let left = os::resident(server.pid())?;
    let each = |sum: u64| sum as f64 / count as f64;
    Ok(Allocations {
        micros: each(used) / 1_000.0,
        release_micros: each(released) / 1_000.0,
        resident: each(full.saturating_sub(memory)) / 1_024.0,
        left: each(left.saturating_sub(memory)) / 1_024.0,
    })
}

/// What the kernel takes for as many sockets: the bare forwarder is asked as often, and opens one for each client. In
/// microseconds each.
pub fn floor(count: usize, server: &Running<'_>) -> anyhow::Result<f64> {
    let client = |index: usize| Client::new(index, server, Voice::Bare { asked: 0 });
    let mut first = (0..50).map(client).collect::<anyhow::Result<Vec<_>>>()?;
    let steps = [Step::Allocate, Step::Bind(SocketAddrV4::new([127, 0, 0, 1].into(), 9))];
    take_steps(&mut first, &steps)?;
    let mut clients = (100..100 + count).map(client).collect::<anyhow::Result<Vec<_>>>()?;
    std::thread::sleep(SETTLE);
    let cpu = os::processor_time(server.pid())?;
    take_steps(&mut clients, &steps)?;
    Ok((os::processor_time(server.pid())? - cpu) as f64 / count as f64 / 1_000.0)
}

struct Client {
    link: Link,
    voice: Voice,
}

/// How a client asks.
enum Voice {
    Turn(Box<Signer>),
    /// As the floor understands it: four bytes open a socket, to all else it answers.
    Bare {
        asked: usize,
    },
}

impl Client {
    fn new(index: usize, server: &Running<'_>, voice: Voice) -> anyhow::Result<Self> {
        let link = Link::open(Transport::Plain, turn::client_address(index), server.plain)?;
        link.set_polled()?;
        Ok(Self { link, voice })
    }
}

impl Voice {
    fn write(&mut self, step: &Step) -> Vec<u8> {
        match self {
            Self::Turn(signer) => signer.write(step),
            Self::Bare { asked } => {
                *asked += 1;
                // The first of three is the one that is answered with a challenge elsewhere.
                if *asked == 2 { vec![0, 0, 0, 9] } else { vec![1] }
            }
        }
    }

    fn is_success(&mut self, step: &Step, answer: &[u8]) -> anyhow::Result<bool> {
        match self {
            Self::Turn(signer) => signer.is_success(step, answer),
            Self::Bare { asked } => Ok(*asked > 1),
        }
    }
}

/// Takes all clients through the same steps, [`AT_A_TIME`] of them together.
fn take_steps(clients: &mut [Client], steps: &[Step]) -> anyhow::Result<()> {
    let (mut epoll, mut ready, mut part) = (Epoll::new()?, Vec::new(), vec![0; 2_048]);
    let mut places = vec![0; clients.len()];
    let (mut begun, mut done) = (0, 0);
    let mut heard = Instant::now();
    while done < clients.len() {
        if begun < clients.len() && begun - done < AT_A_TIME {
            let client = &mut clients[begun];
            epoll.add(client.link.fd(), begun as u64)?;
            client.link.send(&client.voice.write(&steps[0]))?;
            begun += 1;
            continue;
        }
        epoll.ready(0, &mut ready);
        for &token in &ready {
            let index = usize::try_from(token)?;
            let (client, place) = (&mut clients[index], &mut places[index]);
            let Some(answer) = client.link.poll_datagram(&mut part)? else { continue };
            heard = Instant::now();
            *place += usize::from(client.voice.is_success(&steps[*place], answer)?);
            match steps.get(*place) {
                Some(step) => client.link.send(&client.voice.write(step))?,
                None => done += 1,
            }
        }
        ensure!(heard.elapsed() < Duration::from_secs(5), "no answer after {done} of {}", clients.len());
    }
    Ok(())
}

/// Of one flood, for each source: microseconds and KiB.
#[derive(Clone, Copy, Default)]
pub struct Flood {
    pub micros: f64,
    pub resident: f64,
}

/// An Allocate without credentials from each of many addresses.
pub fn flood(sources: usize, server: &Running<'_>) -> anyhow::Result<Flood> {
    let ask = |index: usize| -> anyhow::Result<()> {
        let socket = UdpSocket::bind((turn::client_address(20_000 + index), 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        socket.send_to(&turn::stranger(u64::try_from(index)?), server.plain)?;
        // The challenge; a server may also keep silent.
        let _ = socket.recv(&mut [0; 1_500]);
        Ok(())
    };
    (0..200).try_for_each(ask)?;
    std::thread::sleep(SETTLE);
    let (memory, cpu) = (os::resident(server.pid())?, os::processor_time(server.pid())?);
    (200..200 + sources).try_for_each(ask)?;
    let (full, used) = (os::resident(server.pid())?, os::processor_time(server.pid())? - cpu);
    Ok(Flood {
        micros: used as f64 / 1_000.0 / sources as f64,
        resident: full.saturating_sub(memory) as f64 / 1_024.0 / sources as f64,
    })
}

/// Clients that set up or release together.
const AT_A_TIME: usize = 32;
const SETTLE: Duration = Duration::from_secs(2);
