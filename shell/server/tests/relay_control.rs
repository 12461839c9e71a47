//! An operator beside a running server: the control socket, `tandem turn sessions`, `tandem turn kick`, `tandem reload`.

mod relay_client;
mod running;

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use relay_client::{Client, SECRET};
use running::Running;
use tandem_server::config::types::Secret;

/// What a command says on this data directory, and whether it is content.
fn tandem(home: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    let output = command.args(arguments).arg("--data-dir").arg(home).output().expect("it runs");
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

async fn start() -> Running {
    Running::start_with(|settings| {
        settings.relay.enabled = true;
        settings.relay.port = 0;
        settings.relay.tls_port = 0;
        settings.relay.secret = Some(Secret(String::from_utf8(SECRET.to_vec()).expect("text")));
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_shown_and_ended_from_the_command_line() {
    let running = start().await;
    let home = running.home.path().to_owned();
    let at: SocketAddr = (Ipv4Addr::LOCALHOST, running.server.relay_port().expect("a relay")).into();
    let work = tokio::task::spawn_blocking(move || {
        let mode = std::fs::metadata(home.join("control.sock")).expect("a socket").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(tandem(&home, &["turn", "sessions"]), (true, "Nobody relays.\n".to_owned()));
        let users = ["k1/alice", "k1/bob", "carol"];
        let mut clients = users.map(|user| Client::udp(at, user));
        let relayed = clients.each_mut().map(|client| client.allocate().expect("an allocation"));

        let (shown, text) = tandem(&home, &["turn", "sessions"]);
        assert!(shown && text.lines().count() == 3, "{text}");
        assert!(text.contains(&relayed[2].to_string()) && text.contains("carol"), "{text}");
        let (_, text) = tandem(&home, &["turn", "sessions", "--key", "k1", "--tag", "bob", "--json"]);
        let session: serde_json::Value = serde_json::from_str(&text).expect("one line of JSON");
        assert_eq!(session["user"], "k1/bob");

        let id = session["id"].as_str().expect("an identity");
        assert_eq!(tandem(&home, &["turn", "kick", id]), (true, "1 session has ended\n".to_owned()));
        let (kicked, text) = tandem(&home, &["turn", "kick", id]);
        assert!(!kicked && text.contains("no such session"), "{text}");
        assert_eq!(clients[1].refresh(), Err(437));
        clients[1].allocate().expect("its credential is still good");
        let (_, text) = tandem(&home, &["turn", "kick", "--key", "k1", "--revoke"]);
        assert_eq!(text, "2 sessions have ended\n");
        assert_eq!(clients[1].allocate().err(), Some(401));
        clients[2].refresh().expect("others are not touched");

        let (_, text) = tandem(&home, &["turn", "kick"]);
        assert!(text.contains("--user"), "{text}");
        let (reloaded, text) = tandem(&home, &["reload"]);
        assert!(!reloaded && text.contains("no settings file"), "{text}");
    });
    work.await.expect("all of it");
    let home = running.stop().await;
    let (shown, text) = tandem(home.path(), &["turn", "sessions"]);
    assert!(!shown && text.contains("no server runs") && text.contains("tandem serve"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_of_a_realm_bound_its_users_while_the_server_runs() {
    let running = start().await;
    let home = running.home.path().to_owned();
    let at: SocketAddr = (Ipv4Addr::LOCALHOST, running.server.relay_port().expect("a relay")).into();
    let work = tokio::task::spawn_blocking(move || {
        let mut clients = ["alice", "alice", "bob", "carol"].map(|user| Client::udp(at, user));
        let set =
            |arguments: &[&str]| assert!(tandem(&home, &[&["turn", "realm", "set", "tandem"], arguments].concat()).0);
        // The server hears of it within seconds; until then an allocation is made and given back.
        let settles = |client: &mut Client, expected: Result<(), u16>| {
            (0..100).any(|_| {
                let result = client.allocate().map(|_| ());
                if result.is_ok() {
                    client.release().expect("an allocation");
                }
                std::thread::sleep(std::time::Duration::from_millis(100));
                result == expected
            })
        };
        clients[0].allocate().expect("an allocation");
        set(&["--user-quota", "1"]);
        assert!(settles(&mut clients[1], Err(486)), "alice has one");
        clients[2].allocate().expect("bob has none");
        set(&["--user-quota", "0", "--total-quota", "2"]);
        assert!(settles(&mut clients[3], Err(486)), "two are relayed for");
        set(&["--total-quota", "0"]);
        assert!(settles(&mut clients[3], Ok(())), "without a bound again");
    });
    work.await.expect("all of it");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_is_there_for_holders_of_a_key_and_for_nobody_else() {
    let running = start().await;
    let key = running.key().await;
    assert_eq!(running.get("/api/v1/turn/sessions").await.status(), 401);
    let ask = |path: &str| running.client.get(running.url(path)).bearer_auth(&key).send();
    let figures: serde_json::Value = ask("/api/v1/relay").await.expect("an answer").json().await.expect("figures");
    assert_eq!((&figures["allocations"], &figures["running"]), (&0.into(), &figures["threads"]));
    let end = running.client.post(running.url("/api/v1/turn/sessions/end")).bearer_auth(&key);
    for (body, status) in [
        (serde_json::json!({ "user": "alice" }), 200),
        (serde_json::json!({}), 400),
        (serde_json::json!({ "user": "alice", "key": "k1" }), 400),
        (serde_json::json!({ "session": "x" }), 400),
        (serde_json::json!({ "realm": "tandem", "revoke": true }), 400),
    ] {
        let request = end.try_clone().expect("a request").json(&body);
        assert_eq!(request.send().await.expect("an answer").status(), status, "{body}");
    }
    running.stop().await;
}
