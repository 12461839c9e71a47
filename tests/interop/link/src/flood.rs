//! Numbered and timed UDP datagrams through a link, to see what it does to them.
//!
//! ```text
//!   number, 4 bytes | nanoseconds of the machine's clock, 8 bytes | zeros
//! ```

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Sends so many bits per second, IP and UDP headers counted, in datagrams of so many bytes.
pub fn send(to: SocketAddr, rate: u64, size: usize, time: Duration) -> std::io::Result<()> {
    let socket = UdpSocket::bind(if to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" })?;
    socket.connect(to)?;
    let headers = if to.is_ipv6() { 48 } else { 28 };
    let every = Duration::from_secs_f64((size + headers) as f64 * 8.0 / rate as f64);
    let mut datagram = vec![0; size.max(12)];
    let start = Instant::now();
    let mut number = 0_u32;
    loop {
        let due = every * number;
        if due >= time {
            println!("sent={number}");
            return Ok(());
        }
        thread::sleep(due.saturating_sub(start.elapsed()));
        datagram[..4].copy_from_slice(&number.to_be_bytes());
        datagram[4..12].copy_from_slice(&clock().to_be_bytes());
        socket.send(&datagram)?;
        number += 1;
    }
}

/// Counts what arrives at an address until nothing has for two seconds.
pub fn count(at: SocketAddr) -> std::io::Result<()> {
    let socket = UdpSocket::bind(at)?;
    println!("ready");
    let headers = if at.is_ipv6() { 48 } else { 28 };
    let mut buffer = [0; 2048];
    let (mut first, mut last) = (None, Instant::now());
    let (mut received, mut bits, mut disordered, mut next) = (0_u32, 0_u64, 0_u32, 0_u32);
    let mut delays = Vec::new();
    loop {
        socket.set_read_timeout(first.map(|_| Duration::from_secs(2)))?;
        let Ok(length) = socket.recv(&mut buffer) else { break };
        last = Instant::now();
        // The first one begins the time: its own bits came before.
        if first.get_or_insert(last) != &last {
            bits += (length + headers) as u64 * 8;
        }
        received += 1;
        let (Some((number, rest)), true) = (buffer.split_first_chunk(), length >= 12) else { continue };
        let number = u32::from_be_bytes(*number);
        disordered += u32::from(number < next);
        next = next.max(number + 1);
        let sent = rest.first_chunk().map_or(0, |sent| u64::from_be_bytes(*sent));
        delays.push(clock().saturating_sub(sent) / 1000);
    }
    let took = first.map_or(0.0, |first| (last - first).as_secs_f64());
    delays.sort_unstable();
    let at = |share: f64| delays.get((delays.len() as f64 * share) as usize).or(delays.last()).map_or(0.0, |us| *us as f64 / 1e3);
    println!(
        "received={received} disordered={disordered} rate={:.0} delay_min={:.1} delay_p50={:.1} delay_max={:.1}",
        if took > 0.0 { bits as f64 / took } else { 0.0 },
        at(0.0),
        at(0.5),
        at(1.0)
    );
    Ok(())
}

/// Both ends are on one machine.
fn clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
