//! `tandem bench sfu` at a real server: an independent WebRTC stack publishes and watches through our media plane.
#![cfg(feature = "bench-sfu")]

mod running;

use std::path::Path;
use std::process::{Command, Output};

use running::Running;
use serde_json::Value;

/// Runs it with an outsider's trust in the certificate, off the threads of the server.
async fn bench(server: &Running, json: &Path, arguments: &[&str]) -> Output {
    let url = server.url("");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command.args([
        "bench",
        "sfu",
        "--insecure",
        "--url",
        url.trim_end_matches('/'),
        "--room",
        "kitchen",
        "--threads",
        "2",
    ]);
    command.arg("--json").arg(json).args(arguments);
    tokio::task::spawn_blocking(move || command.output().expect("it runs")).await.expect("it ends")
}

fn figures(output: &Output, json: &Path) -> Value {
    let text = std::fs::read_to_string(json).unwrap_or_else(|_| panic!("no figures: {output:?}"));
    serde_json::from_str(&text).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_published_arrives_at_every_subscriber_and_everybody_goes_again() {
    let server = Running::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("figures.json");
    let pid = std::process::id().to_string();
    let load = ["--publishers", "2", "--subscribers", "3", "--video", "300k", "--audio", "--seconds", "2"];
    let output = bench(&server, &json, &[&load[..], &["--max-loss", "0", "--server-pid", &pid]].concat()).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let figures = figures(&output, &json);
    let count =
        |path: &str| figures.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path}: {figures}"));
    assert_eq!((count("/joins/clients"), count("/joins/failed")), (5, 0));
    assert_eq!((count("/video/lost"), count("/audio/lost")), (0, 0));
    // Every packet thrice, but for what is under way when counting begins and ends.
    let (sent, received) = (count("/packets/sent"), count("/packets/received"));
    assert!(sent > 0 && received.abs_diff(sent * 3) <= sent * 3 / 10, "{said}");
    assert!(figures["server"]["us_per_packet"].as_f64() > Some(0.0), "{figures}");
    let key = server.key().await;
    let room = server.client.get(server.url("/api/v1/rooms/kitchen")).bearer_auth(key).send().await.expect("an answer");
    assert_eq!(room.status(), reqwest::StatusCode::NOT_FOUND, "somebody has stayed");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_is_spread_over_two_threads_loses_nothing_between_them() {
    let server = Running::start_with(|settings| settings.media.threads = 2).await;
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("figures.json");
    let load = ["--publishers", "2", "--subscribers", "30", "--video", "100k", "--audio", "--seconds", "3"];
    let output = bench(&server, &json, &[&load[..], &["--max-loss", "0"]].concat()).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let figures = figures(&output, &json);
    assert_eq!(
        (&figures["joins"]["failed"], &figures["video"]["lost"], &figures["audio"]["lost"]),
        (&0.into(), &0.into(), &0.into())
    );
    // Both publishers came first, and live at the room's home; eight subscribers are elsewhere, and get one copy together.
    let (mut carried, mut dropped) = (0, 0);
    for _ in 0..50 {
        let text = server.get("/metrics").await.text().await.expect("text");
        let value = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or(0)
        };
        (carried, dropped) = (value("media_carried_packets_total "), value("media_crossings_dropped_total "));
        if carried > 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let sent = figures["packets"]["sent"].as_u64().expect("a number");
    assert!(carried > sent / 2 && carried < sent * 3, "{carried} of {sent}");
    assert_eq!(dropped, 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_sizes_at_once_are_taken_and_one_is_watched() {
    let server = Running::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("figures.json");
    let output =
        bench(&server, &json, &["--subscribers", "2", "--video", "800k", "--simulcast", "--seconds", "2"]).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let figures = figures(&output, &json);
    let (sent, received) = (figures["packets"]["sent"].as_u64(), figures["packets"]["received"].as_u64());
    // Not all layers to both.
    assert!(received > Some(0) && received < sent.map(|sent| sent * 2), "{said}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_come_in_is_a_failure_with_the_servers_reason() {
    let server = Running::start_with(|settings| settings.rooms.max_participants = 2).await;
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("figures.json");
    let output = bench(&server, &json, &["--subscribers", "3", "--video", "100k", "--seconds", "1"]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("2 of 4 clients failed") && said.contains("/whep/kitchen"),
        "{said}"
    );
    assert_eq!(figures(&output, &json)["joins"]["failed"], 2);
    let stopped = server.url("");
    server.stop().await;
    let output =
        Command::new(env!("CARGO_BIN_EXE_tandem")).args(["bench", "sfu", "--insecure", "--url", &stopped]).output();
    let output = output.expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("no publisher has come in: no connection to"), "{said}");
}
