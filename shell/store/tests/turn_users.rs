//! Users of the relay in SQLite: our own file, and one that coturn's tool has written. The databases behind sockets are
//! tested by `tests/interop/databases`.

use std::path::Path;
use std::process::Command;

use tandem_store::{ListedTurnUser, OauthKey, PeerRule, RealmOption, Record, Store, TurnUser, TurnUsers};

fn alice(realm: &str, key: u8) -> TurnUser {
    TurnUser { realm: realm.into(), name: "alice".into(), md5: [key; 16], sha256: Some([key; 32]) }
}

/// SHA-256 of `alice:a.example`.
const HASH: [u8; 32] = [
    0x2a, 0x7c, 0xc7, 0x4c, 0x54, 0x77, 0x36, 0x55, 0x2c, 0xda, 0x4c, 0x2c, 0xdd, 0x2a, 0x93, 0x48, 0xb7, 0x2c, 0x2d,
    0x29, 0x8a, 0xc4, 0xf9, 0x45, 0xcb, 0x69, 0xd7, 0x4d, 0xd7, 0xf4, 0x4d, 0x99,
];

async fn own(directory: &Path) -> (Store, TurnUsers) {
    let store = Store::open(&directory.join("tandem.db")).await.expect("a database");
    let users = store.turn_users();
    (store, users)
}

/// A database as `turnadmin` makes it, by these arguments each.
fn turnadmin(directory: &Path, runs: &[&[&str]]) -> String {
    let file = directory.join("turndb");
    for arguments in runs {
        let output = Command::new("turnadmin")
            .args(*arguments)
            .arg("-b")
            .arg(&file)
            .current_dir(directory)
            .output()
            .expect("the Debian package coturn");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    format!("sqlite:{}", file.display())
}

#[tokio::test]
async fn a_user_is_found_by_name_and_by_hash_in_its_own_realm() {
    let home = tempfile::tempdir().expect("a directory");
    let (_store, users) = own(home.path()).await;
    assert!(users.put(&alice("a.example", 1), 5).await.expect("stored"));
    assert!(!users.put(&alice("a.example", 2), 7).await.expect("stored"), "another password");
    assert!(users.find("a.example", "alice").await.expect("read") == Some(alice("a.example", 2)));
    assert!(users.find_by_hash("a.example", HASH).await.expect("read") == Some(alice("a.example", 2)));
    assert!(users.find("b.example", "alice").await.expect("read").is_none());
    assert!(users.find_by_hash("b.example", HASH).await.expect("read").is_none());
    assert!(users.all_hashed().await.expect("read"));
    let listed = ListedTurnUser { realm: "a.example".into(), name: "alice".into(), changed_at: Some(7) };
    assert_eq!(users.list(None).await.expect("read"), [listed]);
    assert!(users.list(Some("b.example")).await.expect("read").is_empty());
    assert!(users.remove("a.example", "alice").await.expect("removed"));
    assert!(!users.remove("a.example", "alice").await.expect("removed"));
}

#[tokio::test]
async fn a_name_of_quotes_and_statements_is_a_name_like_any_other() {
    let home = tempfile::tempdir().expect("a directory");
    let (_store, users) = own(home.path()).await;
    let name = "'; DROP TABLE turnusers_lt; -- \" %s {} ? $1";
    let user = TurnUser { name: name.to_owned(), ..alice("a.example", 1) };
    assert!(users.put(&user, 5).await.expect("stored"));
    assert!(users.find("a.example", name).await.expect("read") == Some(user));
    assert!(users.find("a.example", "' OR '1'='1").await.expect("read").is_none());
    assert!(users.remove("a.example", name).await.expect("removed"));
}

#[tokio::test]
async fn records_are_added_once_changed_and_taken_out() {
    let home = tempfile::tempdir().expect("a directory");
    let (_store, users) = own(home.path()).await;
    let realm = || "north".to_owned();
    let key = |lifetime| {
        let (kid, ikm_key, as_rs_alg) = ("k".to_owned(), "MTIz".to_owned(), "A128GCM".to_owned());
        Record::Key(OauthKey { kid, ikm_key, timestamp: 1_700_000_000, lifetime, as_rs_alg, realm: realm() })
    };
    let option = |value| Record::Option { realm: realm(), option: RealmOption::UserQuota, value };
    let records = [
        Record::Secret { realm: realm(), value: "one".into() },
        Record::Secret { realm: realm(), value: "two".into() },
        Record::Origin { origin: "https://a.example:443".into(), realm: realm() },
        option(5),
        Record::Peer { rule: PeerRule::Denied, realm: String::new(), range: "10.0.0.1-10.0.0.9".into() },
        Record::Peer { rule: PeerRule::Allowed, realm: realm(), range: "::1".into() },
        key(0),
    ];
    for record in &records {
        assert!(users.add(record).await.expect("added"));
        assert!(!users.add(record).await.expect("added"), "it was there");
    }
    assert!(!users.add(&option(6)).await.expect("changed"));
    assert!(!users.add(&key(60)).await.expect("changed"));
    let facts = users.facts().await.expect("read");
    assert_eq!(facts.records.len(), records.len());
    assert!(facts.records.contains(&option(6)) && facts.records.contains(&key(60)));
    for record in &records {
        assert!(users.take_out(record).await.expect("taken out"));
        assert!(!users.take_out(record).await.expect("taken out"), "it was gone");
    }
    assert!(users.facts().await.expect("read").records.is_empty());
}

#[tokio::test]
async fn what_turnadmin_has_written_is_read_as_it_is() {
    let home = tempfile::tempdir().expect("a directory");
    let url = turnadmin(
        home.path(),
        &[
            &["-a", "-u", "gorst", "-r", "north.gov", "-p", "hero"],
            &["-s", "logen", "-r", "north.gov"],
            &["-s", "bloody9", "-r", "north.gov"],
            &["-O", "-o", "https://bligh.edu", "-r", "crinna.org"],
            &["-g", "-r", "north.gov", "--max-bps", "500000", "--user-quota", "10", "--total-quota", "12"],
        ],
    );
    let users = TurnUsers::open(&url).await.expect("a database");
    let found = users.find("north.gov", "gorst").await.expect("read").expect("a user");
    // From coturn's own documentation.
    assert_eq!(found.md5.map(|byte| format!("{byte:02x}")).concat(), "7da2270ccfa49786e0115366d3a3d14d");
    assert!(found.sha256.is_none() && !users.all_hashed().await.expect("read"));
    let facts = users.facts().await.expect("read");
    let realm = || "north.gov".to_owned();
    let expected = [
        Record::Secret { realm: realm(), value: "bloody9".into() },
        Record::Secret { realm: realm(), value: "logen".into() },
        Record::Origin { origin: "https://bligh.edu:443".into(), realm: "crinna.org".into() },
        Record::Option { realm: realm(), option: RealmOption::MaxBps, value: 500_000 },
        Record::Option { realm: realm(), option: RealmOption::TotalQuota, value: 12 },
        Record::Option { realm: realm(), option: RealmOption::UserQuota, value: 10 },
    ];
    assert!(facts.records.iter().eq(&expected));
    assert_eq!(facts.realms.iter().collect::<Vec<_>>(), ["north.gov"]);
}

#[tokio::test]
async fn room_is_made_for_our_keys_and_a_password_that_turnadmin_changes_makes_ours_worthless() {
    let home = tempfile::tempdir().expect("a directory");
    let url = turnadmin(home.path(), &[&["-a", "-u", "gorst", "-r", "north.gov", "-p", "hero"]]);
    let users = TurnUsers::open(&url).await.expect("a database");
    users.prepare().await.expect("prepared");
    users.prepare().await.expect("prepared again");
    // Anew: what columns there are is looked at once.
    let users = TurnUsers::open(&url).await.expect("a database");
    assert!(users.all_hashed().await.expect("read"));
    users.put(&alice("a.example", 1), 5).await.expect("stored");
    assert!(users.find_by_hash("a.example", HASH).await.expect("read") == Some(alice("a.example", 1)));
    turnadmin(home.path(), &[&["-a", "-u", "alice", "-r", "a.example", "-p", "other"]]);
    let found = users.find("a.example", "alice").await.expect("read").expect("a user");
    assert!(found.md5 != [1; 16] && found.sha256.is_none());
    assert_eq!(users.list(None).await.expect("read").len(), 2);
}

#[tokio::test]
async fn a_url_that_is_none_of_ours_is_refused_without_its_password_and_a_missing_file_is_not_made() {
    for url in ["oracle://u:hunter2@h/d", "hunter2", "", "postgres://u:hunter2@h:x/d", "redis://:hunter2@[/", "sqlite:"]
    {
        let error = TurnUsers::open(url).await.err().map(|error| format!("{error} {error:?}"));
        assert!(error.is_some_and(|error| !error.contains("hunter2")), "{url}");
    }
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("nothing");
    let users = TurnUsers::open(&format!("sqlite:{}", file.display())).await.expect("a database");
    assert!(users.find("r", "n").await.is_err() && !file.exists());
}
