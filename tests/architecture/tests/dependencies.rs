//! Who may import whom, and what may stand below the purity line.
//!
//! The drawing is in `ARCHITECTURE.md`; an edge is allowed by adding it to [`EDGES`] together with the decision that says why.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand, Package};

/// Each of our crates and what of ours it may name, tests included.
const EDGES: &[(&str, &[&str])] = &[
    ("tandem-stun", &[]),
    ("tandem-dtls", &[]),
    ("tandem-webrtc", &["tandem-dtls"]),
    ("tandem-rtp", &[]),
    ("tandem-media", &["tandem-rtp", "tandem-sdp", "tandem-webrtc"]),
    ("tandem-api", &[]),
    ("tandem-offload", &[]),
    ("tandem-sdp", &[]),
    ("tandem-policy", &[]),
    ("tandem-engine", &["tandem-api", "tandem-media", "tandem-policy", "tandem-sdp"]),
    ("tandem-store", &["tandem-api", "tandem-engine"]),
    (
        "tandem-server",
        &[
            "tandem-api",
            "tandem-dtls",
            "tandem-engine",
            "tandem-media",
            "tandem-offload",
            "tandem-policy",
            "tandem-sdp",
            "tandem-store",
            "tandem-stun",
            "tandem-webrtc",
        ],
    ),
    (
        "tandem-sim",
        &[
            "tandem-api",
            "tandem-engine",
            "tandem-media",
            "tandem-policy",
            "tandem-rtp",
            "tandem-sdp",
            "tandem-server",
            "tandem-stun",
            "tandem-webrtc",
        ],
    ),
    ("tandem-architecture", &[]),
];

/// Crates below the purity line.
const CORE: &[&str] = &[
    "tandem-api",
    "tandem-dtls",
    "tandem-engine",
    "tandem-media",
    "tandem-policy",
    "tandem-rtp",
    "tandem-sdp",
    "tandem-stun",
    "tandem-webrtc",
];

/// Async runtimes, sockets, files, clocks, operating-system randomness, locks: nowhere in the tree of a core crate.
const WORLDLY: &[&str] = &[
    "async-io",
    "async-std",
    "axum",
    "chrono",
    "crossbeam-channel",
    "futures-executor",
    "getrandom",
    "hyper",
    "io-uring",
    "mio",
    "monoio",
    "nix",
    "notify",
    "parking_lot",
    "polling",
    "rand",
    "rayon",
    "reqwest",
    "rustix",
    "rustls",
    "smol",
    "socket2",
    "sqlx",
    "tempfile",
    "tokio",
    "tokio-util",
    "tungstenite",
    "walkdir",
    "winapi",
    "windows-sys",
];

/// Known and borne. `stun-types` links `rand` for a constructor of transaction identities that a server never calls.
/// `tandem-dtls` seeds the `rand` of `dimpl`; the keys of key exchanges come from the operating system inside `ring`, as
/// they must (`docs/decisions/0006`). `rtc-dtls` links `rustls` for chains of certificates, which are not looked at, and `nix` for
/// the names of network interfaces, which nothing asks for (`docs/decisions/0009`). `sctp-proto` draws its tags, and `is` the
/// identities of its checks, by themselves. `ring` is in `tandem-rtp`, too, which only encrypts with it and draws nothing. Who
/// uses one of these crates has them in its tree, too.
const BORNE: &[(&str, &str)] = &[
    ("tandem-stun", "rand"),
    ("tandem-stun", "getrandom"),
    ("tandem-dtls", "rand"),
    ("tandem-dtls", "getrandom"),
    ("tandem-dtls", "nix"),
    ("tandem-dtls", "rustls"),
    ("tandem-webrtc", "rand"),
    ("tandem-webrtc", "getrandom"),
    ("tandem-webrtc", "nix"),
    ("tandem-webrtc", "rustls"),
    ("tandem-media", "rand"),
    ("tandem-media", "getrandom"),
    ("tandem-media", "nix"),
    ("tandem-media", "rustls"),
    ("tandem-engine", "rand"),
    ("tandem-engine", "getrandom"),
    ("tandem-engine", "nix"),
    ("tandem-engine", "rustls"),
    ("tandem-rtp", "getrandom"),
];

/// External protocol libraries, drivers and brokers: each is named by this crate and no other (its tests aside).
const CONFINED: &[(&str, &str)] = &[
    ("axum", "tandem-server"),
    ("aya", "tandem-offload"),
    ("dimpl", "tandem-dtls"),
    ("is", "tandem-webrtc"),
    ("mongodb", "tandem-store"),
    ("redis", "tandem-store"),
    ("rtc-dtls", "tandem-dtls"),
    ("rtc-shared", "tandem-dtls"),
    ("rustls-acme", "tandem-server"),
    ("sctp-proto", "tandem-webrtc"),
    ("socketioxide", "tandem-server"),
    ("sqlx", "tandem-store"),
    ("str0m", "tandem-server"),
    ("stun-types", "tandem-stun"),
    ("turn-types", "tandem-stun"),
];

#[test]
fn our_crates_import_each_other_only_as_drawn() {
    let metadata = workspace();
    let allowed: BTreeMap<_, BTreeSet<_>> =
        EDGES.iter().map(|(from, to)| (*from, to.iter().copied().collect())).collect();
    for package in metadata.workspace_packages() {
        let Some(allowed) = allowed.get(package.name.as_str()) else {
            panic!(
                "{} is in the workspace but not in the drawing: add it to EDGES and to ARCHITECTURE.md",
                package.name
            );
        };
        for dependency in package.dependencies.iter().filter(|d| d.name.starts_with("tandem-")) {
            assert!(
                allowed.contains(dependency.name.as_str()),
                "{} -> {} is not an edge of the design; allowed are {allowed:?}",
                package.name,
                dependency.name
            );
        }
    }
}

#[test]
fn nothing_worldly_stands_in_the_tree_of_a_core_crate() {
    for name in CORE {
        let tree = linked_tree(name);
        assert!(tree.contains(*name), "cargo tree printed no tree of {name}: {tree:?}");
        let worldly: Vec<_> =
            WORLDLY.iter().filter(|library| tree.contains(**library) && !BORNE.contains(&(*name, **library))).collect();
        assert!(worldly.is_empty(), "{name} pulls in {worldly:?}: see `cargo tree -p {name} -i <library>`");
    }
}

#[test]
fn every_crate_in_the_core_folder_is_below_the_line() {
    let metadata = workspace();
    let found: BTreeSet<String> = metadata
        .workspace_packages()
        .into_iter()
        .filter(|p| p.manifest_path.starts_with(metadata.workspace_root.join("core")))
        .map(|p| p.name.to_string())
        .collect();
    let listed: BTreeSet<String> = CORE.iter().map(|n| (*n).to_owned()).collect();
    assert_eq!(found, listed);
}

#[test]
fn external_protocol_libraries_are_named_in_one_crate_each() {
    let metadata = workspace();
    for (library, home) in CONFINED {
        for package in metadata.workspace_packages().into_iter().filter(|p| p.name.as_str() != *home) {
            let named = package.dependencies.iter().any(|d| d.name == *library && d.kind == DependencyKind::Normal);
            assert!(!named, "{} names {library}, which lives in {home} alone", package.name);
        }
        assert!(
            package(&metadata, home).dependencies.iter().any(|d| d.name == *library),
            "{home} no longer names {library}: take the line out of CONFINED"
        );
    }
}

/// Names of what is linked into `root` when it is built alone: without build scripts, procedural macros, and the features
/// that other crates of the workspace switch on.
fn linked_tree(root: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--prefix", "none", "--edges", "normal,no-proc-macro", "--all-features"])
        .args(["--target", "x86_64-unknown-linux-gnu", "--format", "{lib}", "--package", root])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .expect("cargo tree runs");
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(|line| line.trim().replace('_', "-")).collect()
}

fn package<'a>(metadata: &'a Metadata, name: &str) -> &'a Package {
    metadata
        .packages
        .iter()
        .find(|p| p.name.as_str() == name)
        .unwrap_or_else(|| panic!("no crate {name} in the workspace"))
}

fn workspace() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"))
        .features(CargoOpt::AllFeatures)
        .other_options(["--filter-platform".to_owned(), "x86_64-unknown-linux-gnu".to_owned()])
        .exec()
        .expect("cargo metadata reads this workspace")
}
