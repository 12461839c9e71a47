//! A link that runs: two devices, two directions, and the lines that change them.
//!
//! ```text
//!   up rate=300k loss=5          near to far; `down` is far to near, `both` is both; `clear` undoes everything
//!   counters                     two lines: a direction, how it is set, what has become of its packets
//!   quit
//! ```
//!
//! Each line is answered by `ok`, by what it asked for and `ok`, or by `error: …`.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::direction::{Counters, Direction, Traffic};
use crate::spec::Spec;

/// Both directions.
#[derive(Clone)]
pub struct Link {
    up: Arc<Pipe>,
    down: Arc<Pipe>,
}

struct Pipe {
    direction: Mutex<Direction>,
    changed: Condvar,
}

/// What a line has led to.
#[derive(Debug, PartialEq)]
pub enum Answer {
    Said(String),
    Quit,
}

impl Link {
    pub fn new([up, down]: [Spec; 2], seed: u64) -> Self {
        let pipe = |spec, seed| Arc::new(Pipe { direction: Mutex::new(Direction::new(spec, seed)), changed: Condvar::new() });
        Self { up: pipe(up, seed), down: pipe(down, !seed) }
    }

    /// Carries packets until a device goes away.
    pub fn carry(&self, near: &Arc<File>, far: &Arc<File>) {
        for (pipe, from, to) in [(&self.up, near, far), (&self.down, far, near)] {
            let (reading, from) = (Arc::clone(pipe), Arc::clone(from));
            std::thread::spawn(move || fail("reading", reading.read(&from)));
            let (writing, to) = (Arc::clone(pipe), Arc::clone(to));
            std::thread::spawn(move || fail("writing", writing.write(&to)));
        }
    }

    /// Does what a line says.
    pub fn handle_line(&self, line: &str) -> Answer {
        let line = line.trim();
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let outcome = match word {
            "up" => self.up.change(rest),
            "down" => self.down.change(rest),
            "both" => self.up.change(rest).and_then(|()| self.down.change(rest)),
            "counters" => {
                return Answer::Said(format!("{}\n{}\nok\n", self.up.describe("up"), self.down.describe("down")));
            }
            "quit" => return Answer::Quit,
            other => Err(format!("expected up, down, both, counters or quit, got {other:?}")),
        };
        Answer::Said(outcome.map_or_else(|why| format!("error: {why}\n"), |()| "ok\n".to_owned()))
    }
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, Direction> {
        self.direction.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, text: &str) -> Result<(), String> {
        let mut direction = self.lock();
        let spec = direction.spec().changed(text)?;
        direction.set_spec(Instant::now(), spec);
        self.changed.notify_one();
        Ok(())
    }

    fn describe(&self, name: &str) -> String {
        let direction = self.lock();
        let Counters { came, delivered, lost, dropped, most_waiting } = direction.counters;
        let traffic = |name: &str, Traffic { packets, bytes }| format!("{name}={packets} {name}_bytes={bytes}");
        [
            format!("{name} {}", direction.spec()),
            traffic("came", came),
            traffic("delivered", delivered),
            traffic("lost", lost),
            traffic("dropped", dropped),
            format!("under_way={} most_waiting={most_waiting}", direction.under_way()),
        ]
        .join(" ")
    }

    fn read(&self, mut from: &File) -> io::Result<()> {
        let mut buffer = vec![0; 65_536];
        loop {
            let length = from.read(&mut buffer)?;
            let packet = buffer.get(..length).unwrap_or_default().to_vec();
            self.lock().handle_packet(Instant::now(), packet);
            self.changed.notify_one();
        }
    }

    fn write(&self, mut to: &File) -> io::Result<()> {
        let mut direction = self.lock();
        loop {
            let now = Instant::now();
            if let Some(packet) = direction.poll_output(now) {
                drop(direction);
                // A packet that the other side's kernel does not take is that side's business.
                let _ = to.write(&packet);
                direction = self.lock();
                continue;
            }
            direction = match direction.poll_timeout() {
                Some(due) => {
                    let wait = due.saturating_duration_since(now);
                    self.changed.wait_timeout(direction, wait).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(direction).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

fn fail(what: &str, outcome: io::Result<()>) {
    if let Err(error) = outcome {
        eprintln!("tandem-link: {what} a device: {error}");
        std::process::exit(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_change_the_direction_they_name() {
        let link = Link::new([Spec::default(), Spec::default()], 1);
        let ok = Answer::Said("ok\n".to_owned());
        assert_eq!(link.handle_line("both delay=20ms\n"), ok);
        assert_eq!(link.handle_line("up rate=300k"), ok);
        let Answer::Said(said) = link.handle_line("counters") else { panic!("it says something") };
        let lines: Vec<&str> = said.lines().collect();
        let [up, down, "ok"] = lines[..] else { panic!("{said}") };
        assert!(up.starts_with("up rate=300000 queue=65536 delay=20ms jitter=0ms loss=0 burst=1 came=0 came_bytes=0 "), "{up}");
        assert!(down.starts_with("down rate=off ") && down.contains(" delay=20ms "), "{down}");
        assert_eq!(link.handle_line("quit"), Answer::Quit);
        for line in ["", "upp rate=1k", "up rate=fast", "up rate=1k speed=2"] {
            assert!(matches!(link.handle_line(line), Answer::Said(said) if said.starts_with("error: ")), "{line}");
        }
        // A line that is refused changes nothing.
        let Answer::Said(again) = link.handle_line("counters") else { panic!("it says something") };
        assert_eq!(said, again);
    }
}
