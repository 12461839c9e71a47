//! Whatever comes, at whatever point of a handshake: nothing panics, and what is kept is bounded.

use std::alloc::{GlobalAlloc, Layout, System};
use std::panic;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tandem_dtls::{Breadth, Identity, Key, Local, Peer, PeerEvent, Role};

struct Counting;

static HELD: AtomicIsize = AtomicIsize::new(0);
static PANICS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// xorshift64: the same noise each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % sides.max(1)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.roll(256)).expect("below 256")
    }
}

#[allow(clippy::disallowed_methods, reason = "an instant can only be had from the clock; tests go on from it by hand")]
fn some_instant() -> Instant {
    Instant::now()
}

fn local() -> Local {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    let certificate = rcgen::CertificateParams::new(Vec::new()).expect("names").self_signed(&key).expect("one");
    let identity = Identity::new(certificate.der(), Key::Pkcs8(&key.serialize_der())).expect("an identity");
    Local::new(identity).expect("usable")
}

/// The one that is tried, at some point of its handshake.
struct Victim {
    peer: Peer,
    /// What its true peer has said and would say.
    genuine: Vec<Vec<u8>>,
}

impl Victim {
    /// After so many datagrams of its true peer.
    fn at(locals: &[Local; 2], breadth: Breadth, role: Role, heard: usize) -> Self {
        let now = some_instant();
        let other = if role == Role::Client { Role::Server } else { Role::Client };
        let mut peer = Peer::new(now, &locals[0], role, vec![locals[1].fingerprint()], breadth);
        let mut foreign = Peer::new(now, &locals[1], other, vec![locals[0].fingerprint()], breadth);
        let mut genuine = Vec::new();
        let mut delivered = 0;
        loop {
            for datagram in drain(&mut peer) {
                foreign.handle_datagram(now, &datagram);
            }
            let said = drain(&mut foreign);
            genuine.extend(said);
            match genuine.get(delivered) {
                Some(datagram) if delivered < heard => peer.handle_datagram(now, datagram),
                _ => break,
            }
            delivered += 1;
        }
        Self { peer, genuine }
    }
}

fn drain(peer: &mut Peer) -> Vec<Vec<u8>> {
    let mut said = Vec::new();
    loop {
        match peer.poll_output() {
            PeerEvent::Send(datagram) => said.push(datagram.to_vec()),
            PeerEvent::Wait(_) | PeerEvent::Ended(_) => return said,
            PeerEvent::Received(_) | PeerEvent::Keys(_) | PeerEvent::Connected => {}
        }
    }
}

/// Something that looks more or less like what a peer says.
fn noise(dice: &mut Dice, genuine: &[Vec<u8>]) -> Vec<u8> {
    let whole = |dice: &mut Dice| genuine.get(dice.roll(genuine.len())).cloned().unwrap_or_default();
    let mut datagram = whole(dice);
    match dice.roll(8) {
        0 => return (0..dice.roll(300)).map(|_| dice.byte()).collect(),
        1 => {
            // A fragment of its own making, with a number that may come.
            let kinds = [1, 2, 3, 11, 12, 13, 14, 15, 16, 20];
            let (kind, length, part) = (kinds[dice.roll(kinds.len())], dice.roll(20_000), dice.roll(1_200));
            let [_, l @ ..] = u32::try_from(length).expect("small").to_be_bytes();
            let [_, o @ ..] = u32::try_from(dice.roll(length + 1)).expect("small").to_be_bytes();
            let [_, f @ ..] = u32::try_from(part).expect("small").to_be_bytes();
            let body: Vec<u8> = (0..part).map(|_| dice.byte()).collect();
            let [h, b] = u16::try_from(12 + part).expect("small").to_be_bytes();
            let number = u8::try_from(dice.roll(9)).expect("small");
            let header = [22, 254, 253, 0, 0, 0, 0, dice.byte(), dice.byte(), dice.byte(), dice.byte(), h, b, kind];
            return [&header[..], &l, &[0, number], &o, &f, &body].concat();
        }
        2 => {
            // A sealed record of any kind, with an epoch that may come.
            let body: Vec<u8> = (0..dice.roll(200)).map(|_| dice.byte()).collect();
            let (kind, epoch) = (20 + dice.byte() % 4, dice.byte() % 3);
            let length = u8::try_from(body.len()).expect("small");
            return [&[kind, 254, 253, 0, epoch, 0, 0, 0, 0, 0, dice.byte(), 0, length], &body[..]].concat();
        }
        3 => datagram.truncate(dice.roll(datagram.len() + 1)),
        4 => datagram.extend(whole(dice)),
        _ => {}
    }
    for _ in 0..dice.roll(4) {
        let within = if dice.roll(2) == 0 { 40 } else { datagram.len() };
        let at = dice.roll(within);
        if let Some(byte) = datagram.get_mut(at) {
            *byte = if dice.roll(2) == 0 { dice.byte() } else { *byte ^ (1 << dice.roll(8)) };
        }
    }
    datagram
}

/// Noise for so many victims after one another, for each so many datagrams. The most that one has held; and how many have ended.
fn try_out(
    locals: &[Local; 2],
    dice: &mut Dice,
    (breadth, role, heard): (Breadth, Role, usize),
    (victims, datagrams): (usize, usize),
) -> (isize, usize) {
    let (mut most, mut ended) = (0, 0);
    for _ in 0..victims {
        let before = HELD.load(Ordering::Relaxed);
        let mut victim = Victim::at(locals, breadth, role, heard);
        let mut now = some_instant();
        for number in 0..datagrams {
            victim.peer.handle_datagram(now, &noise(dice, &victim.genuine));
            drain(&mut victim.peer);
            most = most.max(HELD.load(Ordering::Relaxed) - before);
            // All in 20 seconds, which a handshake may take.
            now += Duration::from_secs(20) / u32::try_from(datagrams).expect("not so many");
            if number % 16 == 0 {
                victim.peer.handle_timeout(now);
                drain(&mut victim.peer);
            }
        }
        ended += usize::from(victim.peer.is_over());
    }
    (most, ended)
}

#[test]
fn at_no_point_does_noise_panic_or_fill_the_memory() {
    let told = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        told(panic);
    }));
    let locals = [local(), local()];
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let points = [Role::Client, Role::Server].into_iter().flat_map(|role| (0..5).map(move |heard| (role, heard)));
    for (role, heard) in points {
        for (breadth, bound) in [(Breadth::Browsers, 512 << 10), (Breadth::Everybody, 48 << 10)] {
            let point = (breadth, role, heard);
            // Most of a handshake's code is reached by the first few, and what piles up by many.
            let (one, ended) = try_out(&locals, &mut dice, point, (250, 40));
            let (other, _) = try_out(&locals, &mut dice, point, (1, 10_000));
            assert!(one.max(other) < bound, "{point:?}: {} bytes", one.max(other));
            // Noise that ends every handshake, or every connection, would not have tried much.
            assert!(ended < 200, "{point:?}: {ended} have ended");
        }
    }
    // `Peer` catches them; there are none to be caught.
    assert_eq!(PANICS.load(Ordering::Relaxed), 0);
}
