//! The database through its public face, in temporary files.

use std::path::PathBuf;
use std::sync::Mutex;

use tandem_api::signal::{ClientKind, Counts, Entry, LeaveReason, PathKind, Room};
use tandem_engine::{Record, RoomKept};
use tandem_store::{Change, Filter, Mode, Outcome, Store};
use tokio::sync::mpsc;

struct Home {
    directory: tempfile::TempDir,
    store: Store,
}

impl Home {
    async fn new() -> Home {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::open(&directory.path().join("tandem.db")).await.expect("a database");
        Home { directory, store }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("tandem.db")
    }

    /// Writes everything, as a process that ends at `now`.
    async fn write(&self, now: u64, changes: impl IntoIterator<Item = Change>) {
        let changes: Vec<Change> = changes.into_iter().collect();
        let (sender, queue) = mpsc::channel(changes.len().max(1));
        for change in changes {
            sender.send(change).await.expect("room in the queue");
        }
        drop(sender);
        let lost = Mutex::new(Vec::new());
        let report = |outcome| {
            if let Outcome::Lost(count, error) = outcome {
                lost.lock().expect("a lock").push(format!("{count}: {error}"));
            }
        };
        self.store.write(queue, || now, report).await;
        assert_eq!(lost.into_inner().expect("a lock"), Vec::<String>::new());
    }
}

fn started(session: &str, room: &str, at: u64) -> Change {
    Change::Record(Record::SessionStarted { session: session.into(), room: room.into(), at })
}

fn joined(session: &str, participant: &str, at: u64) -> Change {
    let (session, participant) = (session.to_owned(), participant.to_owned());
    Change::Record(Record::Joined { session, participant, name: "Ann".into(), client: ClientKind::Web, at })
}

fn left(session: &str, participant: &str, at: u64) -> Change {
    let (session, participant) = (session.to_owned(), participant.to_owned());
    Change::Record(Record::Left { session, participant, reason: LeaveReason::Lost, at })
}

fn path(session: &str, path: PathKind) -> Change {
    Change::Record(Record::Path { session: session.into(), participant: "p1".into(), peer: "p2".into(), path, at: 3 })
}

fn ended(session: &str, at: u64) -> Change {
    Change::Record(Record::SessionEnded { session: session.into(), reason: LeaveReason::Ended, at })
}

fn room(name: &str, session: &str, created: bool) -> RoomKept {
    RoomKept {
        room: Room {
            name: name.into(),
            host: "p1".into(),
            locked: true,
            entry: Entry::Open,
            relay_only: false,
            topology: Default::default(),
            always_sfu: false,
            tokens: false,
            watch_only: false,
            metadata: None,
            parent: None,
            breakouts: Vec::new(),
            started_at: 1,
            counts: Counts { participants: 1, ..Counts::default() },
        },
        session: session.into(),
        max_participants: None,
        created,
        participants: Vec::new(),
    }
}

fn keep(name: &str, session: &str, created: bool) -> Change {
    Change::Keep { room: name.into(), kept: Some(room(name, session, created)) }
}

#[tokio::test]
async fn a_session_is_stored_with_everyone_who_was_in_it() {
    let home = Home::new().await;
    let story = [
        started("s1", "blue", 10),
        joined("s1", "p1", 10),
        joined("s1", "p2", 20),
        path("s1", PathKind::Relay),
        path("s1", PathKind::P2p),
        left("s1", "p2", 30),
        ended("s1", 40),
    ];
    home.write(50, story).await;
    let detail = home.store.session("s1").await.expect("a database").expect("the session");
    assert_eq!((detail.session.started_at, detail.session.ended_at), (10, Some(40)));
    assert_eq!(detail.session.end_reason.as_deref(), Some("ended"));
    assert_eq!(detail.session.mode, Some(Mode::Relay), "a session that used a relay at all counts as relayed");
    assert_eq!(detail.session.participants, 2);
    let stays: Vec<_> = detail
        .participations
        .iter()
        .map(|stay| (stay.participant.as_str(), stay.left_at, stay.leave_reason.as_deref()))
        .collect();
    assert_eq!(stays, [("p1", None, None), ("p2", Some(30), Some("lost"))]);
    assert_eq!(home.store.session("s2").await.expect("a database"), None);
}

#[tokio::test]
async fn pages_go_on_where_the_last_one_ended_and_filters_hold() {
    let home = Home::new().await;
    // Several start in the same millisecond: the identity decides.
    let starts = (0..7).map(|i| started(&format!("s{i}"), if i % 2 == 0 { "even" } else { "odd" }, 100 + i / 3));
    home.write(1, starts.chain([ended("s2", 200), path("s3", PathKind::P2p)])).await;
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = home.store.sessions(&Filter::default(), after.as_ref(), 2).await.expect("a page");
        assert!(page.sessions.len() <= 2);
        seen.extend(page.sessions.into_iter().map(|session| session.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["s6", "s5", "s4", "s3", "s2", "s1", "s0"]);
    for (filter, expected) in [
        (Filter { room: Some("odd".into()), ..Filter::default() }, vec!["s5", "s3", "s1"]),
        (Filter { from: Some(101), to: Some(102), ..Filter::default() }, vec!["s5", "s4", "s3"]),
        (Filter { ended: Some(true), ..Filter::default() }, vec!["s2"]),
        (Filter { mode: Some(Mode::P2p), ..Filter::default() }, vec!["s3"]),
    ] {
        let page = home.store.sessions(&filter, None, 100).await.expect("a page");
        assert_eq!(page.sessions.iter().map(|session| session.id.as_str()).collect::<Vec<_>>(), expected, "{filter:?}");
    }
}

#[tokio::test]
async fn a_record_whose_session_is_unknown_harms_nothing() {
    let home = Home::new().await;
    home.write(1, [joined("lost", "p1", 1), left("lost", "p1", 2), ended("lost", 3), started("s1", "blue", 4)]).await;
    assert!(home.store.session("lost").await.expect("a database").is_none());
    assert!(home.store.session("s1").await.expect("a database").is_some());
}

#[tokio::test]
async fn after_a_short_absence_every_room_comes_back_as_it_was() {
    let home = Home::new().await;
    home.write(1000, [started("s1", "blue", 5), keep("blue", "s1", false), keep("gone", "s0", false)]).await;
    home.write(2000, [Change::Keep { room: "gone".into(), kept: None }]).await;
    let again = Store::open(&home.path()).await.expect("the same database");
    let restored = again.restore(2100, 500).await.expect("rooms");
    assert_eq!(restored.rooms, [room("blue", "s1", false)]);
    assert_eq!(restored.sessions_closed, 0);
}

#[tokio::test]
async fn after_a_long_absence_only_rooms_made_beforehand_remain_and_sessions_are_closed() {
    let home = Home::new().await;
    let story = [started("s1", "blue", 5), joined("s1", "p1", 6), keep("blue", "s1", false), keep("made", "s2", true)];
    home.write(1000, story).await;
    let restored = home.store.restore(9000, 500).await.expect("rooms");
    let [made] = restored.rooms.as_slice() else { panic!("expected one room, got {:?}", restored.rooms) };
    assert_eq!((made.room.name.as_str(), made.session.as_str(), made.room.locked), ("made", "", false));
    assert_eq!(restored.sessions_closed, 1);
    let detail = home.store.session("s1").await.expect("a database").expect("the session");
    assert_eq!((detail.session.ended_at, detail.session.end_reason.as_deref()), (Some(1000), Some("lost")));
    assert_eq!(detail.participations.first().and_then(|stay| stay.left_at), Some(1000));
}

#[tokio::test]
async fn a_key_works_until_it_is_revoked_and_its_secret_is_not_in_the_file() {
    let home = Home::new().await;
    let made = home.store.create_key("billing", 10).await.expect("a key");
    let known = home.store.authenticate(&made.text, 20).await.expect("a database").expect("the key");
    assert_eq!(known.id, made.key.id);
    let listed = home.store.list_keys().await.expect("keys");
    assert_eq!(listed.first().and_then(|key| key.last_used_at), Some(20));
    for wrong in
        [format!("{}x", made.text), format!("tk_{}_", made.key.id), "tk_".into(), String::new(), "x".repeat(5000)]
    {
        assert!(home.store.authenticate(&wrong, 30).await.expect("a database").is_none(), "{wrong}");
    }
    assert!(home.store.revoke_key(&made.key.id, 40).await.expect("a database").is_some());
    assert!(home.store.revoke_key(&made.key.id, 41).await.expect("a database").is_none());
    assert!(home.store.authenticate(&made.text, 50).await.expect("a database").is_none());
    home.store.close().await;
    // It may have such a line of its own: what comes after the last one is no more than its end.
    let secret = made.text.strip_prefix(&format!("tk_{}_", made.key.id)).expect("a secret");
    assert!(secret.len() >= 32, "{secret}");
    let file = std::fs::read(home.path()).expect("the file");
    assert!(!file.windows(secret.len()).any(|window| window == secret.as_bytes()));
}

#[tokio::test]
async fn a_key_needs_a_printable_name() {
    let home = Home::new().await;
    for wrong in ["", "  ", "a\nb", &"x".repeat(101)] {
        assert!(home.store.create_key(wrong, 1).await.is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn ended_sessions_are_forgotten_after_their_time_and_running_ones_never() {
    let home = Home::new().await;
    home.write(1, [started("old", "a", 1), joined("old", "p1", 1), ended("old", 10), started("runs", "b", 1)]).await;
    assert_eq!(home.store.forget_sessions(11).await.expect("a database"), 1);
    let page = home.store.sessions(&Filter::default(), None, 10).await.expect("a page");
    assert_eq!(page.sessions.iter().map(|session| session.id.as_str()).collect::<Vec<_>>(), ["runs"]);
}
