//! The bodies of the fuzz targets `websocket_decoder` and `proxy_header`; `corpus.rs` replays their corpora on every test
//! run.
//!
//! Both parsers are compiled in from their files: the fuzzer need not build the server.

#[allow(dead_code, clippy::unwrap_used, reason = "its writers and its tests come along with it")]
#[path = "../../src/signal/websocket/codec.rs"]
mod codec;

#[allow(dead_code, clippy::indexing_slicing, reason = "its tests come along with it")]
#[path = "../../src/proxy_protocol.rs"]
mod proxy_protocol;

use codec::{Decoder, Message, Violation};
use proxy_protocol::{Header, parse};

/// Largest message.
const LIMIT: usize = 1000;
/// A control frame is taken whatever the limit, with its header and what stands in front of it.
const FRAME: usize = 14;

/// Any bytes as what a client sends, the first byte saying how they are cut: read or refused without a panic, the same
/// whatever the cut, with no more kept than one frame and one message, and nothing while idle.
pub fn websocket_decoder(bytes: &[u8]) {
    let Some((cut, stream)) = bytes.split_first() else { return };
    let whole = read(stream, stream.len().max(1));
    let in_pieces = read(stream, usize::from(*cut).max(1));
    assert_eq!(whole, in_pieces, "the cut makes no difference");
}

fn read(stream: &[u8], piece: usize) -> (Vec<Message>, Option<Violation>) {
    let mut decoder = Decoder::new(LIMIT);
    let mut messages = Vec::new();
    let mut read = 0;
    for bytes in stream.chunks(piece) {
        decoder.push(bytes);
        let mut consumed = 0;
        loop {
            match decoder.next(&mut consumed) {
                Ok(Some(message)) => messages.push(bounded(message)),
                Ok(None) => break,
                Err(violation) => {
                    assert!(matches!(violation.status(), 1002 | 1007 | 1009));
                    return (messages, Some(violation));
                }
            }
        }
        read += bytes.len();
        assert!(consumed <= read, "no more is consumed than came");
        decoder.compact(consumed);
        // What a vector has reserved may be twice what is in it; what came at once is the transport's own bound.
        let bound = 2 * (2 * LIMIT + FRAME) + 2 * piece;
        assert!(decoder.held() <= bound, "{} bytes are kept, at most {bound} expected", decoder.held());
    }
    (messages, None)
}

fn bounded(message: Message) -> Message {
    match &message {
        Message::Text(text) => assert!(text.len() <= LIMIT),
        Message::Ping(payload) => assert!(payload.len() <= 125),
        Message::Binary | Message::Pong | Message::Close => {}
    }
    message
}

/// Any bytes as the first ones of a load balancer's connection, the first byte saying how they are cut: read or refused
/// without a panic; the cut makes no difference, what follows the header is left alone, and nothing waits for ever.
pub fn proxy_header(bytes: &[u8]) {
    let Some((cut, stream)) = bytes.split_first() else { return };
    let whole = parse(stream);
    let mut pieces = (usize::from(*cut).max(1)..stream.len()).step_by(usize::from(*cut).max(1));
    let first = pieces.find_map(|end| match parse(stream.get(..end)?) {
        Ok(Header::Partial) => None,
        told => Some(told),
    });
    assert_eq!(first.unwrap_or_else(|| whole.clone()), whole, "the cut makes no difference");
    match whole {
        Ok(Header::Whole { length, .. }) => {
            assert!(length <= stream.len(), "no more is consumed than came");
            assert_eq!(parse(stream.get(..length).unwrap_or_default()), whole, "what follows makes no difference");
        }
        Ok(Header::Partial) => assert!(stream.len() < 16 + 2_048, "enough has come to know"),
        Err(_) => {}
    }
}
