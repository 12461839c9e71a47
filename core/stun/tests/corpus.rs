//! Replays the corpora of the fuzz targets, so that what once broke stays mended.

mod bodies;

use std::path::PathBuf;

use proptest::prelude::*;

#[allow(clippy::disallowed_methods, reason = "the corpus lies in files")]
fn replay(target: &str, body: fn(&[u8])) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "the corpus of {target} is empty");
    for file in files {
        let bytes = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        body(&bytes);
    }
}

#[test]
fn the_corpus_of_stun_parse_passes() {
    replay("stun_parse", bodies::stun_parse);
}

#[test]
fn the_corpus_of_turn_machine_passes() {
    replay("turn_machine", bodies::turn_machine);
}

#[test]
fn the_corpus_of_stun_client_passes() {
    replay("stun_client", bodies::stun_client);
}

#[test]
fn the_corpus_of_snapshot_passes() {
    replay("snapshot", bodies::snapshot);
}

proptest! {
    #[test]
    fn any_sequence_of_events_leaves_the_machine_whole(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        bodies::turn_machine(&bytes);
    }

    #[test]
    fn any_answers_leave_the_clients_whole(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        bodies::stun_client(&bytes);
    }
}
