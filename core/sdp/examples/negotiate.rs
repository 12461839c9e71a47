//! A server's end of negotiations, over standard input and output: for tests with browsers, which have no other way here.
//!
//! ```text
//!   > answer 5120\n…           an offer of as many bytes; our answer comes back
//!   > answer 5120 video\n…     the same, but of what it would begin, only this is wanted
//!   > offer 0 audio,-,video\n  our next offer, with these m-lines; it comes back
//!   > accept 4711\n…           the answer to it; what is agreed on comes back
//!   > forget 0\n               begins anew
//!   < ok 3000\n…               or `no`, with the reason
//! ```

#[path = "../tests/world/mod.rs"]
mod world;

use std::error::Error;
use std::io::{BufRead, Read, Write, stdin, stdout};

use tandem_sdp::{Agreed, Direction, Kind, Line, OurLine, Ours, Session, accept, negotiate, offer, parse};
use world::{forwarded, server};

#[derive(Default)]
struct Server {
    agreed: Option<Agreed>,
    offered: Option<Session>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut server = Server::default();
    let (mut input, mut output) = (stdin().lock(), stdout().lock());
    let mut head = String::new();
    while input.read_line(&mut head)? > 0 {
        let mut words = head.split_whitespace();
        let (verb, bytes) = (words.next().unwrap_or_default(), words.next().unwrap_or_default().parse()?);
        let mut body = Vec::new();
        input.by_ref().take(bytes).read_to_end(&mut body)?;
        let done = server.does(verb, words.next().unwrap_or_default(), &String::from_utf8(body)?);
        let (word, text) = match done {
            Ok(text) => ("ok", text),
            Err(error) => ("no", error.to_string()),
        };
        write!(output, "{word} {}\n{text}", text.len())?;
        output.flush()?;
        head.clear();
    }
    Ok(())
}

impl Server {
    fn does(&mut self, verb: &str, lines: &str, text: &str) -> Result<String, Box<dyn Error>> {
        match verb {
            "answer" => {
                let mut ours = server();
                ours.others
                    .retain(|line| lines.is_empty() || lines.split(',').any(|kind| kind == line.kind.to_string()));
                let agreed = negotiate(&parse(text)?, self.agreed.as_ref(), &ours)?;
                let answer = agreed.local.to_string();
                self.agreed = Some(agreed);
                Ok(answer)
            }
            "offer" => {
                let lines = lines.split(',').zip(1..).map(|(kind, at)| line(kind, at)).collect();
                let made = offer(self.agreed.as_ref(), &Ours { lines, ..server() })?;
                Ok(self.offered.insert(made).to_string())
            }
            "accept" => {
                let offered = self.offered.take().ok_or("nothing is offered")?;
                let agreed = accept(&offered, &parse(text)?, self.agreed.as_ref())?;
                let told = agreed.lines.iter().map(told).collect::<Vec<_>>().join("\n");
                self.agreed = Some(agreed);
                Ok(told)
            }
            "forget" => {
                *self = Self::default();
                Ok(String::new())
            }
            other => Err(format!("expected `answer`, `offer`, `accept` or `forget`, got `{other}`").into()),
        }
    }
}

fn line(kind: &str, at: u32) -> Option<OurLine> {
    match kind {
        "audio" => Some(forwarded(Kind::Audio, at * 10, &format!("track-{at}"))),
        "video" => Some(forwarded(Kind::Video, at * 10, &format!("track-{at}"))),
        "data" => Some(OurLine::new(Kind::Application, Direction::SendRecv)),
        "heard" => Some(OurLine::new(Kind::Audio, Direction::RecvOnly)),
        "seen" => Some(OurLine { layers: 3, ..OurLine::new(Kind::Video, Direction::RecvOnly) }),
        _ => None,
    }
}

fn told(line: &Line) -> String {
    let mid = line.mid().map(|mid| mid.as_str()).unwrap_or_default();
    match line {
        Line::Free => "free".into(),
        Line::Data(_) => format!("{mid} data"),
        Line::Media(media) => {
            let best = media.codecs.first().map(|codec| format!("{} {}", codec.format.name, codec.send));
            let layers: String = media.incoming.layers.iter().map(|layer| format!(" {}", layer.as_str())).collect();
            format!("{mid} {} {:?} {}{layers}", media.kind, media.direction, best.unwrap_or_default())
        }
    }
}
