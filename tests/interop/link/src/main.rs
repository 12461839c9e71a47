//! A link between two network namespaces that can be made as bad as is wanted, while it runs: for kernels without netem.
//!
//! ```text
//!  namespace near                                                            namespace far
//!  a browser ── link0 10.77.0.1, fd77::1 ══ up: rate, queue, loss, delay ══► link0 10.77.0.2, fd77::2 ── tandem
//!                                        ◄══ down: the same, its own ══════
//! ```
//!
//! The script `link` beside this folder's `run` starts it; `docs/how-to/squeeze.md` says how to use it.

mod direction;
mod flood;
mod link;
mod spec;
mod tun;

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use link::{Answer, Link};
use spec::Spec;
use tun::Place;

const USAGE: &str = "usage:
  tandem-link join NEAR FAR [--number N] [--control SOCKET] [--seed N] [--up SPEC] [--down SPEC]
      NEAR and FAR are network namespaces (ip netns add), . is the one this runs in. Lines are read from SOCKET, or without
      it from standard input, whose end ends the link: up SPEC, down SPEC, both SPEC, counters, quit.
      SPEC is any of rate=300k queue=50KiB delay=100ms jitter=10ms loss=5 burst=3, or clear.
  tandem-link say SOCKET LINE          hands a line to a link and prints what it answers
  tandem-link send ADDRESS:PORT --rate 1M --size BYTES --time SECONDS
  tandem-link count ADDRESS:PORT";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("tandem-link: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<(), String> {
    let (named, options) = split(words)?;
    let option = |name: &str| options.get(name).map(String::as_str);
    let whole = |name: &str, otherwise: &str| {
        let text = option(name).unwrap_or(otherwise);
        text.parse::<u64>().map_err(|_| format!("expected a whole number for --{name}, got {text}"))
    };
    match named[..] {
        ["join", near, far] => {
            let spec = |name| Spec::default().changed(option(name).unwrap_or(""));
            let link = Link::new([spec("up")?, spec("down")?], whole("seed", "1")?);
            let places = places(near, far, whole("number", "0")?)?;
            join(&link, &places, option("control")).map_err(|error| error.to_string())
        }
        ["say", socket, ref line @ ..] => hand_over(socket, &line.join(" ")),
        ["send", to] => {
            let rate = Spec::default().changed(&format!("rate={}", option("rate").unwrap_or("1M")))?.rate.unwrap_or(1);
            let size = usize::try_from(whole("size", "1000")?).map_err(|error| error.to_string())?;
            let to = to.parse().map_err(|_| format!("expected ADDRESS:PORT, got {to}"))?;
            flood::send(to, rate, size, Duration::from_secs(whole("time", "5")?)).map_err(|error| error.to_string())
        }
        ["count", at] => {
            let at = at.parse().map_err(|_| format!("expected ADDRESS:PORT, got {at}"))?;
            flood::count(at).map_err(|error| error.to_string())
        }
        _ => Err(USAGE.to_owned()),
    }
}

/// Words, and `--name value` pairs.
fn split(words: &[String]) -> Result<(Vec<&str>, BTreeMap<&str, String>), String> {
    let (mut named, mut options) = (Vec::new(), BTreeMap::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.strip_prefix("--") {
            Some(name @ ("number" | "control" | "seed" | "up" | "down" | "rate" | "size" | "time")) => {
                let value = words.next().ok_or_else(|| format!("expected a value after {word}"))?;
                options.insert(name, value.clone());
            }
            Some(_) => return Err(USAGE.to_owned()),
            None => named.push(word.as_str()),
        }
    }
    Ok((named, options))
}

fn places(near: &str, far: &str, number: u64) -> Result<[Place; 2], String> {
    if number > 255 {
        return Err(format!("expected a number up to 255, got {number}"));
    }
    let place = |namespace: &str, end: u8| Place {
        namespace: namespace.to_owned(),
        device: if near == far { format!("link{number}-{end}") } else { format!("link{number}") },
        addresses: [format!("10.77.{number}.{end}/24"), format!("fd77:0:0:{number:x}::{end}/64")],
    };
    Ok([place(near, 1), place(far, 2)])
}

fn join(link: &Link, [near, far]: &[Place; 2], control: Option<&str>) -> io::Result<()> {
    let (near, far) = (Arc::new(near.open()?), Arc::new(far.open()?));
    link.carry(&near, &far);
    let Some(path) = control else {
        say("ready\n");
        return obey(link, io::stdin().lock(), &mut io::stdout()).map(|_| ());
    };
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    say("ready\n");
    for connection in listener.incoming() {
        let Ok(mut connection) = connection else { continue };
        let lines = BufReader::new(connection.try_clone()?);
        // Whoever has gone away does not need its answer.
        if matches!(obey(link, lines, &mut connection), Ok(Answer::Quit)) {
            let _ = std::fs::remove_file(path);
            return Ok(());
        }
    }
    Ok(())
}

/// Does what the lines say, until they end or say `quit`.
fn obey(link: &Link, mut lines: impl BufRead, answers: &mut impl Write) -> io::Result<Answer> {
    let mut line = String::new();
    while lines.by_ref().take(LONGEST_LINE).read_line(&mut line)? > 0 {
        match link.handle_line(&line) {
            Answer::Quit => return Ok(Answer::Quit),
            Answer::Said(text) => answers.write_all(text.as_bytes()).and_then(|()| answers.flush())?,
        }
        line.clear();
    }
    Ok(Answer::Said(String::new()))
}

/// One line to a link that runs elsewhere, and its answer.
fn hand_over(socket: &str, line: &str) -> Result<(), String> {
    let talk = || {
        let mut stream = UnixStream::connect(socket)?;
        stream.write_all(format!("{line}\n").as_bytes())?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    let answer = talk().map_err(|error| format!("{socket}: {error}"))?;
    match answer.strip_prefix("error: ") {
        Some(why) => Err(why.trim_end().to_owned()),
        None => {
            say(answer.strip_suffix("ok\n").unwrap_or(&answer));
            Ok(())
        }
    }
}

/// A reader that has gone away misses nothing.
fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
}

const LONGEST_LINE: u64 = 4096;
