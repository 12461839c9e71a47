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
fn the_corpus_of_rtp_passes() {
    replay("rtp", bodies::rtp);
}

#[test]
fn the_corpus_of_rtcp_passes() {
    replay("rtcp", bodies::rtcp);
}

#[test]
fn the_corpus_of_srtp_passes() {
    replay("srtp", bodies::srtp);
}

proptest! {
    #[test]
    fn any_bytes_are_borne(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        bodies::rtp(&bytes);
        bodies::rtcp(&bytes);
        bodies::srtp(&bytes);
    }
}
