//! Replays the corpora of the fuzz targets `websocket_decoder` and `proxy_header`, so that what once broke stays mended.

mod bodies;

use std::path::Path;

#[test]
fn the_corpus_of_websocket_decoder_passes() {
    replay("websocket_decoder", bodies::websocket_decoder);
}

#[test]
fn the_corpus_of_proxy_header_passes() {
    replay("proxy_header", bodies::proxy_header);
}

fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut replayed = 0;
    for entry in entries {
        let path = entry.expect("the folder can be read").path();
        body(&std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
        replayed += 1;
    }
    assert!(replayed > 0, "{} is empty", folder.display());
}
