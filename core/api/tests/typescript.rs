//! The TypeScript the web client is built on is printed from the wire types and from nothing else.
//!
//! `TANDEM_GENERATE=1` writes it (that is what `make generate` does); otherwise the committed file is compared.

#![allow(clippy::disallowed_methods, reason = "reads and writes the one generated file")]

use std::path::PathBuf;

use tandem_api::rest;
use tandem_api::signal::{self, *};
use ts_rs::{Config, TS};

#[test]
fn the_generated_typescript_is_what_the_wire_types_say() {
    compare("../../web/sdk/src/generated/index.ts", typescript());
    compare("../../web/app/src/generated/turn.ts", typescript_of_the_relay());
}

fn compare(path: &str, wanted: String) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("TANDEM_GENERATE").is_some() {
        std::fs::create_dir_all(path.parent().expect("the path has a folder")).expect("the folder can be made");
        std::fs::write(&path, &wanted).expect("the file can be written");
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == wanted, "{} is not what core/api says: run `make generate`", path.display());
}

#[test]
fn numbers_are_numbers_in_typescript_and_not_bigint() {
    assert!(!typescript().contains("bigint"), "JSON has no bigint");
    assert!(!typescript_of_the_relay().contains("bigint"), "JSON has no bigint");
}

fn typescript() -> String {
    // JSON numbers arrive in JavaScript as `number`.
    let config = Config::new().with_large_int("number");
    let mut out = String::from(
        "// Printed from core/api/src/signal.rs by `make generate`. Do not edit.\n\n\
         /** Name of the protocol, offered as WebSocket subprotocol. */\n",
    );
    out.push_str(&format!("export const SUBPROTOCOL = \"{}\";\n", signal::SUBPROTOCOL));
    print::<Hello>(&config, &mut out);
    print::<Join>(&config, &mut out);
    print::<Resume>(&config, &mut out);
    print::<Look>(&config, &mut out);
    print::<ClientFrame>(&config, &mut out);
    print::<ServerFrame>(&config, &mut out);
    print::<Numbered>(&config, &mut out);
    print::<Note>(&config, &mut out);
    print::<Seen>(&config, &mut out);
    print::<Door>(&config, &mut out);
    print::<Event>(&config, &mut out);
    print::<Joined>(&config, &mut out);
    print::<Room>(&config, &mut out);
    print::<Counts>(&config, &mut out);
    print::<Participant>(&config, &mut out);
    print::<Media>(&config, &mut out);
    print::<Entry>(&config, &mut out);
    print::<Candidate>(&config, &mut out);
    print::<PathKind>(&config, &mut out);
    print::<ClientKind>(&config, &mut out);
    print::<Presence>(&config, &mut out);
    print::<LeaveReason>(&config, &mut out);
    print::<Outcome>(&config, &mut out);
    print::<Reason>(&config, &mut out);
    print::<IceServer>(&config, &mut out);
    print::<Limits>(&config, &mut out);
    print::<signal::Topology>(&config, &mut out);
    print::<signal::Source>(&config, &mut out);
    print::<signal::Track>(&config, &mut out);
    print::<signal::Sends>(&config, &mut out);
    print::<signal::Sent>(&config, &mut out);
    print::<signal::Slot>(&config, &mut out);
    print::<signal::SlotLayer>(&config, &mut out);
    print::<signal::Layer>(&config, &mut out);
    print::<signal::Permissions>(&config, &mut out);
    print::<signal::Breakout>(&config, &mut out);
    print::<signal::BreakoutMember>(&config, &mut out);
    out
}

/// For the page that shows the relay.
fn typescript_of_the_relay() -> String {
    let config = Config::new().with_large_int("number");
    let mut out = String::from("// Printed from core/api/src/rest/turn by `make generate`. Do not edit.\n");
    print::<rest::TurnKey>(&config, &mut out);
    print::<rest::TurnLimits>(&config, &mut out);
    print::<rest::TurnKeyList>(&config, &mut out);
    print::<rest::NewTurnKey>(&config, &mut out);
    print::<rest::MadeTurnKey>(&config, &mut out);
    print::<rest::ChangeTurnKey>(&config, &mut out);
    print::<rest::NewTurnCredential>(&config, &mut out);
    print::<rest::TurnCredential>(&config, &mut out);
    print::<rest::TurnIceServer>(&config, &mut out);
    print::<rest::RevokeTurn>(&config, &mut out);
    print::<rest::TurnEnded>(&config, &mut out);
    print::<rest::TurnSessionList>(&config, &mut out);
    print::<rest::TurnSession>(&config, &mut out);
    print::<rest::TurnTransport>(&config, &mut out);
    print::<rest::TurnFlow>(&config, &mut out);
    print::<rest::TurnStep>(&config, &mut out);
    print::<rest::TurnSplit>(&config, &mut out);
    print::<rest::TurnUsageList>(&config, &mut out);
    print::<rest::TurnUsage>(&config, &mut out);
    out
}

fn print<T: TS>(config: &Config, out: &mut String) {
    let mut printed = T::docs().unwrap_or_default();
    printed.push_str("export ");
    printed.push_str(&T::decl(config));
    out.push('\n');
    for line in printed.lines() {
        out.push_str(line.trim_end());
        out.push('\n');
    }
}
