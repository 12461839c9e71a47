//! Replays the corpora of the fuzz targets, so that what once broke stays mended.

#![allow(clippy::indexing_slicing, reason = "of what the tests have made themselves")]

mod bodies;

use std::path::PathBuf;

#[allow(clippy::disallowed_methods, reason = "the corpus lies in files")]
fn replay(target: &str, body: fn(&[u8])) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let files = std::fs::read_dir(&folder).expect("the folder of the corpus");
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "the corpus is empty");
    for file in files {
        body(&std::fs::read(&file).expect("its bytes"));
    }
}

#[test]
fn the_corpus_of_plane_passes() {
    replay("plane", bodies::plane);
}

#[test]
fn the_corpus_of_webrtc_passes() {
    replay("webrtc", bodies::webrtc);
}
