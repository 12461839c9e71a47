//! Replays what the fuzzers have collected, and a thousand sequences of random bytes.

use std::path::Path;

use tandem_sim::{Chance, fuzz};

#[test]
fn the_corpus_of_signal_frames_is_understood_or_refused() {
    replay("signal_frame", fuzz::signal_frame);
}

#[test]
fn the_corpus_of_sequences_leaves_nothing_behind() {
    replay("engine_sequence", fuzz::engine_sequence);
}

#[test]
fn random_sequences_leave_nothing_behind() {
    let mut chance = Chance::new(2026);
    for _ in 0..1000 {
        let bytes: Vec<u8> = (0..chance.below(600)).map(|_| u8::try_from(chance.below(256)).expect("a byte")).collect();
        fuzz::engine_sequence(&bytes);
    }
}

fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut replayed = 0;
    for entry in entries {
        let path = entry.expect("the folder can be read").path();
        body(&std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
        replayed += 1;
    }
    assert!(replayed > 0, "{} is empty", folder.display());
}
