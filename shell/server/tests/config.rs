//! Settings: where they come from, who wins, and what is said when they are wrong.

use std::path::{Path, PathBuf};

use tandem_server::config::{Invalid, Loaded, Settings, Sources, load, reference};
use tandem_server::http::rest;
use tandem_server::metrics;

struct File {
    _home: tempfile::TempDir,
    path: PathBuf,
}

fn file(text: &str) -> File {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("settings.toml");
    std::fs::write(&path, text).expect("a file");
    File { _home: home, path }
}

fn read(text: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Loaded, Invalid> {
    let file = file(text);
    let owned = |list: &[(&str, &str)]| list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    load(&Sources { file: Some(file.path.clone()), environment: owned(environment), flags: owned(flags) })
}

fn problems(text: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> String {
    read(text, environment, flags).expect_err("expected a refusal").to_string()
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let text = "data_dir = \"/a\"\n[http]\nport = 1001\nredirect_port = 1002\n[rooms]\nmesh = 3";
    let environment = [("TANDEM_HTTP_PORT", "2001"), ("TANDEM_HTTP_REDIRECT_PORT", "2002"), ("HOME", "/root")];
    let loaded = read(text, &environment, &[("http.port", "3001")]).expect("settings");
    let settings = loaded.settings;
    assert_eq!((settings.http.port, settings.http.redirect_port, settings.rooms.mesh), (3001, 2002, 3));
    assert_eq!(settings.data_dir, Path::new("/a"));
    assert_eq!(settings.rooms.max_rooms, Settings::default().rooms.max_rooms);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn lists_and_switches_are_read_from_text() {
    let environment = [
        ("TANDEM_RELAY_ALLOW_PEERS", "10.0.0.0/8, fd00::/8"),
        ("TANDEM_RELAY_ALLOW_LOOPBACK", "true"),
        ("TANDEM_ROOMS_RESUME", "45s"),
        ("TANDEM_ICE_EXTRA_SERVERS", "[{ urls = [\"stun:stun.example.org\"] }]"),
    ];
    let settings = read("", &environment, &[("relay.port_range", "50000-50999")]).expect("settings").settings;
    let peers: Vec<String> = settings.relay.allow_peers.iter().map(ToString::to_string).collect();
    assert_eq!(peers, ["10.0.0.0/8", "fd00::/8"]);
    assert!(settings.relay.allow_loopback);
    assert_eq!(settings.rooms.resume.0.as_secs(), 45);
    assert_eq!((settings.relay.port_range.first, settings.relay.port_range.last), (50_000, 50_999));
    assert_eq!(settings.ice.extra_servers.first().map(|server| server.urls.len()), Some(1));
}

#[test]
fn an_unknown_key_is_refused_and_the_likely_one_is_named() {
    let said = problems("[http]\nprot = 1\n[htpp]\nport = 1\n[log]\ncolour = 1", &[], &[]);
    assert!(said.contains("no setting `http.prot`; did you mean `http.port`?"), "{said}");
    assert!(said.contains("no setting `htpp`; did you mean `http`?"), "{said}");
    assert!(said.contains("no setting `log.colour`"), "{said}");
}

#[test]
fn a_wrong_value_is_refused_with_its_source_and_key() {
    for (text, environment, flags, expected) in [
        ("[http]\nport = \"x\"", [].as_slice(), [].as_slice(), "http.port (/"),
        ("[rooms]\nresume = \"30\"", &[], &[], "expected a time with its unit"),
        ("", &[("TANDEM_HTTP_PORT", "99999")], &[], "TANDEM_HTTP_PORT (the environment): expected port"),
        ("", &[("TANDEM_HTTP_PORT", "x")], &[], "TANDEM_HTTP_PORT (environment): expected port, got \"x\""),
        ("", &[], &[("log.level", "loud")], "--log.level (the command line): expected `error`"),
        ("", &[], &[("relay.enabled", "yes")], "--relay.enabled: expected `true` or `false`, got \"yes\""),
        ("http = 3", &[], &[], "`http` is a section"),
        ("[http\n", &[], &[], "settings.toml: "),
    ] {
        let said = problems(text, environment, flags);
        assert!(said.contains(expected), "{text:?} {environment:?} {flags:?}: {said}");
    }
}

#[test]
fn a_file_that_was_named_must_exist() {
    let sources = Sources { file: Some("/nowhere/at/all.toml".into()), ..Sources::default() };
    assert!(load(&sources).expect_err("no file").to_string().contains("/nowhere/at/all.toml: cannot be read"));
}

#[test]
fn an_unknown_variable_is_only_warned_of() {
    let environment = [("TANDEM_HTTP_PROT", "1"), ("TANDEM_CONFIG", "x"), ("TANDEM_SERVICE_HOST", "10.0.0.1")];
    let warnings = read("", &environment, &[]).expect("settings").warnings;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings.iter().any(|warning| warning.contains("did you mean TANDEM_HTTP_PORT?")), "{warnings:?}");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    for (text, expected) in [
        ("[tls]\ncertificate = \"a.pem\"", "not tls.key"),
        ("[tls]\ncertificate = \"a\"\nkey = \"b\"\nacme_domains = [\"x.example\"]", "exclude each other"),
        ("[tls]\nacme_domains = [\"192.0.2.1\"]", "expected names"),
        ("[http]\nport = 8080", "both 8080"),
        ("[relay]\nsecret = \"short\"", "at least 16 characters"),
        (
            "[relay]\nexternal_addresses = [\"5.6.7.8/10.0.0.1\", \"5.6.7.8/10.0.0.2\"]",
            "stands for more than one address",
        ),
        ("[relay]\nexternal_addresses = [\"5.6.7.8/10.0.0.1\", \"5.6.7.9/10.0.0.1\"]", "has a public one already"),
        ("[relay]\nexternal_addresses = [\"5.6.7.8\", \"5.6.7.9\"]", "with several public addresses"),
        (
            "[relay]\nexternal_addresses = [\"5.6.7.8\"]\nrelay_addresses = [\"10.0.0.1\", \"10.0.0.2\"]",
            "would stand for several",
        ),
        ("[relay]\nexternal_addresses = [\"5.6.7.8/24\"]", "public/private of one family"),
        ("[relay]\nrelay_addresses = [\"0.0.0.0\"]", "expected addresses of this machine"),
        ("[webhooks]\nurls = [\"https://a.example/hook\"]", "not webhooks.key"),
        ("[webhooks]\nurls = [\"a.example\"]\nkey = \"x\"", "webhooks.urls: expected a URL such as"),
        ("[webhooks]\ntimeout = \"1ms\"", "webhooks.timeout: expected 100ms to 60s"),
        ("[webhooks]\nqueue = 0", "webhooks.queue: expected 1 to 100000"),
        ("[rooms]\nmesh = 1", "rooms.mesh: expected at least 2, got 1"),
        ("[limits]\nsdp_bytes = \"1MiB\"", "limits.frame_bytes"),
        ("[ice]\nextra_servers = [{ urls = [\"http://x\"] }]", "expected a stun:, turn: or turns: URL"),
        ("[ice]\nextra_servers = [{ urls = [\"turn:x\"] }]", "needs `username` and `credential`"),
        ("[rooms]\nrelay_only = true\n[relay]\nenabled = false", "there is no relay"),
    ] {
        let said = problems(text, &[], &[]);
        assert!(said.contains(expected), "{text}: {said}");
    }
}

#[test]
fn the_sample_file_is_the_defaults() {
    let sample = reference::toml(&Settings::default());
    assert_eq!(read(&sample, &[], &[]).expect("settings").settings, Settings::default());
}

#[test]
fn a_secret_is_not_shown() {
    let settings = read("[relay]\nsecret = \"0123456789abcdef\"", &[], &[]).expect("settings").settings;
    assert!(!reference::toml(&settings).contains("0123456789abcdef"));
    assert!(!format!("{settings:?}").contains("0123456789abcdef"));
}

#[test]
fn generated_reference_pages_are_up_to_date() {
    let openapi = rest::document().to_pretty_json().expect("a document") + "\n";
    let pages =
        [("settings.md", reference::markdown()), ("metrics.md", metrics::markdown()), ("openapi.json", openapi)];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    for (name, page) in pages {
        let path = folder.join(name);
        if std::env::var_os("TANDEM_GENERATE").is_some() {
            std::fs::create_dir_all(&folder).expect("the folder");
            std::fs::write(&path, &page).expect("the page");
        }
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(stored == page, "docs/reference/{name} is not up to date: run `make generate`");
    }
}
