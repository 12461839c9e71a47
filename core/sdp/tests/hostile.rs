//! Any text, and recorded ones that have been tampered with.

mod bodies;
mod world;

use proptest::prelude::*;
use world::{BROWSERS, recorded};

/// Something that changes the lines of a text.
#[derive(Clone, Debug)]
enum Change {
    Remove(usize),
    Repeat(usize, usize),
    Swap(usize, usize),
    Replace(usize, usize, char),
}

fn change() -> impl Strategy<Value = Change> {
    let line = || 0..400_usize;
    let characters =
        prop::sample::select(vec!['0', '1', '9', ' ', ':', ';', '/', ',', '=', '~', '*', 'a', '\u{e9}', '\r']);
    prop_oneof![
        line().prop_map(Change::Remove),
        (line(), line()).prop_map(|(from, to)| Change::Repeat(from, to)),
        (line(), line()).prop_map(|(a, b)| Change::Swap(a, b)),
        (line(), 0..80_usize, characters).prop_map(|(line, at, new)| Change::Replace(line, at, new)),
    ]
}

fn apply(lines: &mut Vec<String>, change: &Change) {
    let len = lines.len().max(1);
    match *change {
        Change::Remove(at) if !lines.is_empty() => drop(lines.remove(at % len)),
        Change::Repeat(from, to) if !lines.is_empty() => lines.insert(to % len, lines[from % len].clone()),
        Change::Swap(a, b) if !lines.is_empty() => lines.swap(a % len, b % len),
        Change::Replace(line, at, new) if !lines.is_empty() => {
            let mut characters: Vec<_> = lines[line % len].chars().collect();
            let at = at % characters.len().max(1);
            characters.splice(at..(at + 1).min(characters.len()), [new]);
            lines[line % len] = characters.into_iter().collect();
        }
        Change::Remove(_) | Change::Repeat(..) | Change::Swap(..) | Change::Replace(..) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_recorded_description_may_be_tampered_with(
        which in any::<prop::sample::Index>(),
        browser in prop::sample::select(&BROWSERS[..]),
        changes in prop::collection::vec(change(), 1..12),
    ) {
        let all = recorded(browser, "");
        let (_, text) = &all[which.index(all.len())];
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        changes.iter().for_each(|change| apply(&mut lines, change));
        bodies::sdp(lines.join("\r\n").as_bytes());
    }

    #[test]
    fn any_attribute_may_stand_in_a_description(lines in prop::collection::vec("a=[ -~]{0,40}", 0..20)) {
        let head = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n";
        bodies::sdp(format!("{head}{}\r\n", lines.join("\r\n")).as_bytes());
    }
}

#[test]
fn the_corpus_of_sdp_passes() {
    let folder = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/sdp");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "the corpus is empty");
    for file in files {
        #[allow(clippy::disallowed_methods, reason = "the corpus lies in files")]
        let bytes = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        bodies::sdp(&bytes);
    }
}
