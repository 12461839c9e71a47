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

/// To standard output; with a QR code where that is a terminal.
#[allow(clippy::print_stdout, reason = "this is what the command prints")]
pub fn print(links: &Links, certificate: Option<&Kind>, data: &DataDir) {
    print!("{}", text(links, certificate, data, std::io::stdout().is_terminal()));
}

fn text(links: &Links, certificate: Option<&Kind>, data: &DataDir, terminal: bool) -> String {
    let (bold, plain) = if terminal { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let mut out = String::new();
    let _ = writeln!(out, "\nTandem {} is ready.\n", env!("CARGO_PKG_VERSION"));
    let _ = writeln!(out, "  On this machine     {bold}{}{plain}", links.here);
    for (i, link) in links.elsewhere.iter().enumerate() {
        let label = if i == 0 { "From the network" } else { "" };
        let _ = writeln!(out, "  {label:<19} {bold}{link}{plain}");
    }
    if let Some(code) = links.elsewhere.first().filter(|_| terminal).and_then(|link| qr(link)) {
        let _ = writeln!(out, "\n{code}\n  A phone on the same network opens it with its camera.");
    }
    if let Some(Kind::SelfSigned { .. }) = certificate {
        out.push_str(
            "\n  The browser will warn: \"Your connection is not private\". That is because the certificate was made on this\n  \
             machine, and nobody else vouches for it. Choose Advanced, then Proceed. For a real one: --tls.acme-domains,\n  \
             or --tls.certificate and --tls.key.\n",
        );
    }
    let _ = writeln!(out, "\n  Data                {}", data.path().display());
    out.push_str("  Stop                Ctrl-C; a second one stops at once\n\n");
    out
}

/// Two modules a character: upper and lower half. Light on dark terminals, too: the quiet zone is drawn.
fn qr(link: &str) -> Option<String> {
    const QUIET: usize = 2;
    let code = QrCode::with_error_correction_level(link, EcLevel::L).ok()?;
    let width = code.width();
    let side = width + 2 * QUIET;
    let is_dark = |x: usize, y: usize| match (x.checked_sub(QUIET), y.checked_sub(QUIET)) {
        (Some(x), Some(y)) if x < width && y < width => code[(x, y)] == qrcode::Color::Dark,
        _ => false,
    };
    let row = |y: usize| {
        let cells: String = (0..side)
            .map(|x| match (is_dark(x, y), is_dark(x, y + 1)) {
                (false, false) => '█',
                (false, true) => '▀',
                (true, false) => '▄',
                (true, true) => ' ',
            })
            .collect();
        format!("  \x1b[97;40m{cells}\x1b[0m")
    };
    Some((0..side).step_by(2).map(row).collect::<Vec<_>>().join("\n"))
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
        let plain = text(&links, None, &data, false);
        assert!(plain.contains("https://192.0.2.7:8443/"));
        assert!(!plain.contains('\x1b') && !plain.contains('█'), "{plain}");
        assert!(text(&links, None, &data, true).contains('█'));
    }

    #[test]
    fn the_warning_is_explained_only_when_it_will_come() {
        let links = Links { here: String::new(), elsewhere: Vec::new() };
        let (_home, data) = data();
        let own = Kind::SelfSigned { directory: "x".into() };
        assert!(text(&links, Some(&own), &data, false).contains("not private"));
        assert!(!text(&links, None, &data, false).contains("not private"));
    }

    #[test]
    fn the_usual_port_is_left_out_of_a_link() {
        let address = "192.0.2.7".parse().expect("an address");
        assert_eq!(Links::find(None, "https", address, 443).here, "https://192.0.2.7/");
        assert_eq!(Links::find(None, "https", address, 8443).here, "https://192.0.2.7:8443/");
    }
}
