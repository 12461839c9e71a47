//! Ten thousand sockets of one address against the binary itself: most are refused, what the others cost is bounded and
//! given back, and people of another address do not notice.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what was measured, for --nocapture")]

mod attack;
mod people;
mod process;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use attack::{Held, wave};
use people::Pair;
use process::{Descriptors, Process};

/// Sockets of the attacker, where the system lets one process have so many.
const SOCKETS: usize = 10_000;
/// `limits.connections_per_address`.
const PER_ADDRESS: usize = 1_000;
/// What one connection of this mix may cost the server. A TLS connection with half a request on it costs most;
/// seen: 19 KiB on average.
const BYTES_PER_CONNECTION: usize = 48 << 10;
/// What the process may keep beyond its first peak after a second, equal attack: the allocator's leftovers.
const LEFTOVER: usize = 16 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_sockets_of_one_address_disturb_nobody_else_and_leave_nothing_behind() {
    let mut server = Process::start(PER_ADDRESS);
    let sockets = SOCKETS.min(process::raise_descriptor_limit().saturating_sub(500));
    if sockets < SOCKETS {
        println!("this process may have {sockets} sockets only: the attack is that much smaller");
    }
    assert!(sockets > 3 * PER_ADDRESS / 2, "too few descriptors for an attack: ulimit -n");

    let mut calm = Pair::join(&server, "calm", [127, 0, 0, 2]).await;
    calm.say_and_hear().await;
    // The connection the metrics are read on is open before anything is counted.
    server.judged(0).await;
    let before = (server.resident(), server.descriptors());

    let over = Arc::new(AtomicBool::new(false));
    let talk = tokio::spawn(talk(calm, over.clone()));
    let held = wave(&server, sockets).await;
    assert_refusals(&server, sockets, held).await;
    let peak = server.peak();
    let per_connection = (peak - before.0) / PER_ADDRESS;
    println!("{} KiB for each connection held, {} MiB in all", per_connection >> 10, peak >> 20);
    assert!(per_connection <= BYTES_PER_CONNECTION, "{per_connection} bytes for each connection");
    assert_back_to(&mut server, before.1).await;

    // Whatever was not given back would be needed again, and on top.
    drop(wave(&server, sockets.min(2 * PER_ADDRESS)).await);
    assert_back_to(&mut server, before.1).await;
    let again = server.peak();
    println!("{} MiB after a second attack", again >> 20);
    assert!(again <= peak + LEFTOVER, "{again} bytes after a second attack, {peak} after the first");

    over.store(true, Ordering::Relaxed);
    let said = talk.await.expect("the calm room never noticed");
    println!("{said} messages went to and fro meanwhile");
    assert!(said > 1);
    server.stop();
}

/// Speaks and is heard until it is over; how often.
async fn talk(mut pair: Pair, over: Arc<AtomicBool>) -> usize {
    let mut said = 0;
    while !over.load(Ordering::Relaxed) {
        pair.say_and_hear().await;
        said += 1;
    }
    said
}

/// While the attack lasts: who is in, who is not, and that somebody else still gets in.
async fn assert_refusals(server: &Process, sockets: usize, held: Vec<Held>) {
    let counted = server.judged(sockets).await;
    let ended = held.iter().filter(|held| held.ended_by_itself()).count();
    let most = PER_ADDRESS + ended;
    assert!(counted.refused >= sockets - most, "{} of {sockets} refused, {most} may be in", counted.refused);
    assert!(counted.most_open <= PER_ADDRESS + process::OTHERS, "{} at the same time", counted.most_open);
    let cut_off = held.iter().filter(|held| held.is_cut_off()).count();
    assert!(
        cut_off >= sockets - most,
        "{cut_off} sockets found themselves closed, at least {} expected",
        sockets - most
    );
    let open = held.len() - cut_off;
    assert!(open <= PER_ADDRESS, "{open} sockets believe to be in");
    assert!(open >= PER_ADDRESS / 2, "{open} sockets are in: the attack was none");
    let mut newcomers = Pair::join(server, "newcomers", [127, 0, 0, 3]).await;
    newcomers.say_and_hear().await;
}

/// The attacker has gone: so have its sockets.
async fn assert_back_to(server: &mut Process, before: Descriptors) {
    server.until(|process| process.descriptors().sockets <= before.sockets).await;
    let now = server.descriptors();
    assert!(now.all <= before.all + process::DATABASE, "{now:?}, before: {before:?}");
}
