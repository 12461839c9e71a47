//! What `tandem serve` says when it is up: where to go, what the browser will say, where the data is.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::net::IpAddr;

use qrcode::{EcLevel, QrCode};

use crate::data_dir::DataDir;
use crate::local;
use crate::tls::Kind;

/// Where the server can be reached.
pub struct Links {
    /// On this machine.
    pub here: String,
    /// From the network, the likeliest first.
    pub elsewhere: Vec<String>,
}

impl Links {
    /// The public URL where there is one; else this machine's addresses.
    pub fn find(public_url: Option<String>, scheme: &str, address: IpAddr, port: u16) -> Links {
        let suffix = match (scheme, port) {
            ("https", 443) | ("http", 80) => String::new(),
            _ => format!(":{port}"),
        };
        let link = |host: &str| format!("{scheme}://{host}{suffix}/");
        let here = if address.is_unspecified() || address.is_loopback() {
            link("localhost")
        } else {
            link(&local::url_host(address))
        };
        let elsewhere = match public_url {
            Some(url) => vec![format!("{url}/")],
            None if address.is_unspecified() => {
                local::lan_addresses().into_iter().take(MOST_LINKS).map(|lan| link(&local::url_host(lan))).collect()
            }
            None => Vec::new(),
        };
        Links { here, elsewhere }
    }
}

/// More help nobody.
const MOST_LINKS: usize = 6;

/// To standard output; with a QR code where that is a terminal it fits on.
#[allow(clippy::print_stdout, reason = "this is what the command prints")]
pub fn print(links: &Links, certificate: Option<&Kind>, data: &DataDir) {
    print!("{}", text(links, certificate, data, Screen::find().as_ref()));
}

/// A terminal that understands escape sequences.
struct Screen {
    columns: usize,
    rows: usize,
    blocks: Blocks,
}

/// What its character set has to draw with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blocks {
    /// Half blocks: two modules a character.
    Half,
    /// Nothing but coloured spaces: two of them a module.
    None,
}

impl Screen {
    fn find() -> Option<Screen> {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        if !std::io::stdout().is_terminal() || is_dumb {
            return None;
        }
        let (columns, rows) = terminal_size::terminal_size().map_or((80, 24), |(width, height)| (width.0, height.0));
        // POSIX 8.2: the first of these that is not empty counts.
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(|name| std::env::var(name).ok());
        let locale = locale.into_iter().find(|value| !value.is_empty());
        Some(Screen { columns: columns.into(), rows: rows.into(), blocks: Blocks::of(locale.as_deref()) })
    }
}

impl Blocks {
    /// Without any locale (in a container, as a rule) a terminal of today is taken to know Unicode.
    fn of(locale: Option<&str>) -> Blocks {
        match locale.map(str::to_ascii_lowercase) {
            Some(locale) if !locale.contains("utf-8") && !locale.contains("utf8") => Blocks::None,
            Some(_) | None => Blocks::Half,
        }
    }
}

/// Links and code come last: what scrolls out of a small screen is neither of them.
fn text(links: &Links, certificate: Option<&Kind>, data: &DataDir, screen: Option<&Screen>) -> String {
    let (bold, plain) = if screen.is_some() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let mut out = String::new();
    let _ = writeln!(out, "\nTandem {} is ready.\n", env!("CARGO_PKG_VERSION"));
    if let Some(Kind::SelfSigned { .. }) = certificate {
        out.push_str(
            "  The browser will warn: \"Your connection is not private\". That is because\n  \
             the certificate was made on this machine, and nobody else vouches for it.\n  \
             Choose Advanced, then Proceed. For a real one: --tls.acme-domains, or\n  \
             --tls.certificate and --tls.key.\n\n",
        );
    }
    let _ = writeln!(out, "  On this machine     {bold}{}{plain}", links.here);
    for (i, link) in links.elsewhere.iter().enumerate() {
        let label = if i == 0 { "From the network" } else { "" };
        let _ = writeln!(out, "  {label:<19} {bold}{link}{plain}");
    }
    let _ = writeln!(out, "  Data                {}", data.path().display());
    out.push_str("  Stop                Ctrl-C; a second one stops at once\n");
    if let Some(code) = links.elsewhere.first().and_then(|link| qr(link, screen?)) {
        let _ = writeln!(out, "\n{code}\n  A phone on the same network opens it with its camera.");
    }
    out.push('\n');
    out
}

/// Dark on light on any terminal: the quiet zone is drawn, too. `None` where it would not be seen whole.
fn qr(link: &str, screen: &Screen) -> Option<String> {
    const QUIET: usize = 2;
    /// What stands below the code, an empty line above it, and the prompt or a line of the log.
    const AROUND: usize = 4;
    let code = QrCode::with_error_correction_level(link, EcLevel::L).ok()?;
    let width = code.width();
    let side = width + 2 * QUIET;
    let is_dark = |x: usize, y: usize| match (x.checked_sub(QUIET), y.checked_sub(QUIET)) {
        (Some(x), Some(y)) if x < width && y < width => code[(x, y)] == qrcode::Color::Dark,
        _ => false,
    };
    let (columns, rows, step) = match screen.blocks {
        Blocks::Half => (side, side.div_ceil(2), 2),
        Blocks::None => (2 * side, side, 1),
    };
    if screen.columns < columns + 2 || screen.rows < rows + AROUND {
        return None;
    }
    let row = |y: usize| {
        let cells: String = (0..side)
            .map(|x| match (screen.blocks, is_dark(x, y), is_dark(x, y + 1)) {
                (Blocks::Half, false, false) => "█",
                (Blocks::Half, false, true) => "▀",
                (Blocks::Half, true, false) => "▄",
                (Blocks::Half, true, true) => " ",
                (Blocks::None, false, _) => "\x1b[107m  ",
                (Blocks::None, true, _) => "\x1b[40m  ",
            })
            .collect();
        format!("  \x1b[97;40m{cells}\x1b[0m")
    };
    Some((0..side).step_by(step).map(row).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> (tempfile::TempDir, DataDir) {
        let home = tempfile::tempdir().expect("a directory");
        let data = DataDir::open(home.path()).expect("a data directory");
        (home, data)
    }

    #[test]
    fn without_a_terminal_there_is_no_escape_sequence_and_no_code() {
        let links = Links { here: "https://localhost:8443/".into(), elsewhere: vec!["https://192.0.2.7:8443/".into()] };
        let (_home, data) = data();
        let plain = text(&links, None, &data, None);
        assert!(plain.contains("https://192.0.2.7:8443/"));
        assert!(!plain.contains('\x1b') && !plain.contains('█'), "{plain}");
        assert!(text(&links, None, &data, Some(&screen(80, 24, "C.UTF-8"))).contains('█'));
    }

    fn screen(columns: usize, rows: usize, locale: &str) -> Screen {
        Screen { columns, rows, blocks: Blocks::of(Some(locale).filter(|locale| !locale.is_empty())) }
    }

    #[test]
    fn nothing_is_wider_than_a_small_terminal_and_the_code_is_whole_or_not_there() {
        let links = Links { here: "https://localhost:8443/".into(), elsewhere: vec!["https://192.0.2.7:8443/".into()] };
        let (_home, data) = data();
        let own = Kind::SelfSigned { directory: "x".into() };
        let shown = text(&links, Some(&own), &data, Some(&screen(80, 24, "")));
        let mut words = shown.lines().filter(|line| !line.contains("Data") && !line.contains('\x1b'));
        assert!(words.all(|line| line.chars().count() <= 80), "{shown}");
        let from_links = shown.lines().skip_while(|line| !line.contains("On this machine")).count();
        assert!((20..=23).contains(&from_links), "{from_links} lines from the links on: seen whole on 24");
        for (columns, rows, locale) in [(30, 24, "C.UTF-8"), (80, 17, "C.UTF-8"), (80, 24, "C"), (50, 50, "POSIX")] {
            let shown = text(&links, None, &data, Some(&screen(columns, rows, locale)));
            assert!(!shown.contains("camera"), "{columns} by {rows}, {locale}: {shown}");
        }
    }

    #[test]
    fn both_drawings_are_the_same_code_and_one_needs_no_unicode() {
        let link = "https://192.0.2.7:8443/";
        let halves = qr(link, &screen(80, 50, "C.UTF-8")).expect("it fits");
        let spaces = qr(link, &screen(80, 50, "C")).expect("it fits");
        assert!(spaces.is_ascii() && !halves.is_ascii());
        let inner =
            |line: &str| line.trim_start().trim_start_matches("\x1b[97;40m").trim_end_matches("\x1b[0m").to_owned();
        let from_spaces: Vec<Vec<bool>> = spaces
            .lines()
            .map(|line| inner(line).split("\x1b[").skip(1).map(|cell| cell.starts_with("40m")).collect())
            .collect();
        let mut from_halves = Vec::new();
        for line in halves.lines() {
            let upper = inner(line).chars().map(|half| matches!(half, '▄' | ' ')).collect::<Vec<_>>();
            let lower = inner(line).chars().map(|half| matches!(half, '▀' | ' ')).collect::<Vec<_>>();
            from_halves.extend([upper, lower]);
        }
        from_halves.truncate(from_spaces.len());
        assert_eq!(from_halves, from_spaces);
    }

    #[test]
    fn the_warning_is_explained_only_when_it_will_come() {
        let links = Links { here: String::new(), elsewhere: Vec::new() };
        let (_home, data) = data();
        let own = Kind::SelfSigned { directory: "x".into() };
        assert!(text(&links, Some(&own), &data, None).contains("not private"));
        assert!(!text(&links, None, &data, None).contains("not private"));
    }

    #[test]
    fn the_usual_port_is_left_out_of_a_link() {
        let address = "192.0.2.7".parse().expect("an address");
        assert_eq!(Links::find(None, "https", address, 443).here, "https://192.0.2.7/");
        assert_eq!(Links::find(None, "https", address, 8443).here, "https://192.0.2.7:8443/");
    }
}
