//! Replays the corpus of the fuzz target `websocket_decoder`, so that what once broke stays mended.

mod bodies;

use std::path::Path;

#[test]
fn the_corpus_of_websocket_decoder_passes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/websocket_decoder");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut replayed = 0;
    for entry in entries {
        let path = entry.expect("the folder can be read").path();
        bodies::websocket_decoder(&std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
        replayed += 1;
    }
    assert!(replayed > 0, "{} is empty", folder.display());
}
