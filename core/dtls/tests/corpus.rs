//! Replays the corpus of the fuzz target, so that what once broke stays mended.

mod bodies;

use std::path::PathBuf;

#[test]
#[allow(clippy::disallowed_methods, reason = "the corpus lies in files")]
fn the_corpus_of_dtls_front_passes() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/dtls_front");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "the corpus is empty");
    for file in files {
        bodies::dtls_front(&std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())));
    }
}
