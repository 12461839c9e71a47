//! Applications and what they use, through the store's public face.

use tandem_store::{
    ApplicationChange, Bounds, Error, Kind, NewApplication, Relayed, Split, Step, Store, UsageFilter, UsageLine,
};

async fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(&directory.path().join("tandem.db")).await.expect("a database");
    (directory, store)
}

fn new(name: &str, parent: Option<&str>) -> NewApplication {
    NewApplication { name: name.into(), parent: parent.map(str::to_owned), ..NewApplication::default() }
}

#[tokio::test]
async fn an_application_is_known_by_its_key_and_by_no_other() {
    let (_home, store) = store().await;
    let made = store.create_application(&new("  shop ", None), 7).await.expect("an application");
    assert_eq!(
        (made.application.name.as_str(), made.application.created_at, made.application.enabled),
        ("shop", 7, true)
    );
    let found = store.authenticate_application(&made.text).await.expect("an answer");
    assert_eq!(found.as_ref(), Some(&made.application));
    let other = store.create_application(&new("forum", None), 8).await.expect("an application");
    let (_, secret) = made.text.rsplit_once('_').expect("a secret");
    let crossed = format!("ta_{}_{secret}", other.application.id);
    for wrong in
        ["", "ta_", "ta__", "tk_0_0", "ta_000000000000_x", &made.text[..20], &format!("{}x", made.text), &crossed]
    {
        assert_eq!(store.authenticate_application(wrong).await.expect("an answer"), None, "{wrong}");
    }
    let renewed = store.renew_application(&made.application.id).await.expect("an answer").expect("it is there");
    assert_eq!(store.authenticate_application(&made.text).await.expect("an answer"), None, "the key before");
    assert!(store.authenticate_application(&renewed.text).await.expect("an answer").is_some());
}

#[tokio::test]
async fn applications_stand_below_another_one_level_deep_and_go_with_it() {
    let (_home, store) = store().await;
    let top = store.create_application(&new("agency", None), 1).await.expect("an application").application.id;
    let below = store.create_application(&new("client", Some(&top)), 2).await.expect("one below").application;
    for (name, parent) in [("client", top.as_str()), ("deeper", below.id.as_str()), ("lost", "000000000000")] {
        let refused = store.create_application(&new(name, Some(parent)), 3).await;
        assert!(matches!(refused.err(), Some(Error::Misuse(_))), "{name} below {parent}");
    }
    for name in ["client", &below.id] {
        let found = store.application_below(&top, name).await.expect("an answer");
        assert_eq!(found.map(|found| found.id).as_ref(), Some(&below.id));
    }
    let gone = store.remove_application(&top).await.expect("removed");
    assert_eq!(gone.len(), 2);
    assert!(store.applications().await.expect("a list").is_empty());
}

#[tokio::test]
async fn what_changes_changes_and_the_rest_stays() {
    let (_home, store) = store().await;
    let id = store.create_application(&new("shop", None), 1).await.expect("an application").application.id;
    let bounds = Bounds { sessions: None, bytes_per_month: Some(10), bytes_per_second: Some(20) };
    let change = ApplicationChange { bounds: Some(bounds), enabled: Some(false), ..ApplicationChange::default() };
    let after = store.change_application(&id, &change).await.expect("an answer").expect("it is there");
    assert_eq!((after.name.as_str(), after.enabled, after.bounds), ("shop", false, bounds));
    let change = ApplicationChange { origins: Some(vec!["https://x".into()]), ..ApplicationChange::default() };
    let after = store.change_application(&id, &change).await.expect("an answer").expect("it is there");
    assert_eq!((after.bounds, after.origins), (bounds, vec!["https://x".to_owned()]));
    let nothing = Bounds { bytes_per_second: Some(0), ..Bounds::default() };
    let refused = ApplicationChange { bounds: Some(nothing), ..ApplicationChange::default() };
    assert!(matches!(store.change_application(&id, &refused).await, Err(Error::Misuse(_))));
    let refused = NewApplication { bounds: nothing, ..new("nothing", None) };
    assert!(matches!(store.create_application(&refused, 1).await, Err(Error::Misuse(_))));
    assert_eq!(store.change_application("nobody", &change).await.expect("an answer"), None);
    assert_eq!(store.next_generation(&id).await.expect("an answer").map(|before| before.generation), Some(0));
    assert_eq!(store.application(&id).await.expect("an answer").map(|after| after.generation), Some(1));
}

#[tokio::test]
async fn what_was_taken_back_is_known_until_it_has_expired() {
    let (_home, store) = store().await;
    for round in 0..3 {
        let revoked = store.revoke_credentials("a", Kind::Tag, "ann", 100 + u64::from(round)).await.expect("stored");
        assert_eq!((revoked.rounds, store.rounds("a", "ann").await.expect("a number")), (round, round + 1));
    }
    store.revoke_credentials("a", Kind::Credential, "x", 50).await.expect("stored");
    assert_eq!(store.rounds("b", "ann").await.expect("a number"), 0);
    assert_eq!(store.revoked_credentials(50).await.expect("a list").len(), 2);
    let left = store.revoked_credentials(51).await.expect("a list");
    assert_eq!(left.iter().map(|one| (one.kind, one.until)).collect::<Vec<_>>(), [(Kind::Tag, 102)]);
    assert!(store.revoked_credentials(103).await.expect("a list").is_empty());
    assert_eq!(store.rounds("a", "ann").await.expect("a number"), 0);
}

fn line(minute: u64, application: &str, tag: &str, up: u64, down: u64) -> UsageLine {
    let relayed = Relayed { sessions: 1, seconds: 60, up_packets: 2, up_bytes: up, down_packets: 3, down_bytes: down };
    UsageLine { minute, application: application.into(), tag: tag.into(), relayed }
}

#[tokio::test]
async fn usage_is_added_up_exactly_and_told_by_time_application_and_label() {
    let (_home, store) = store().await;
    let day = 1440 * 20_000;
    let lines = [
        line(day, "a", "ann", 100, 10),
        line(day, "a", "ann", 1, 1),
        line(day + 59, "a", "ben", 50, 0),
        line(day + 60, "a", "ann", 7, 0),
        line(day + 1440, "b", "", 5, 5),
    ];
    store.add_usage(&lines).await.expect("stored");
    let ask = async |applications: Option<&str>, tag: Option<&str>, step, split| {
        let applications = applications.map(|id| vec![id.to_owned()]);
        let filter = UsageFilter { applications, tag: tag.map(str::to_owned), from: day, to: day + 2000 };
        store.usage(&filter, step, split, 100).await.expect("sums")
    };
    let all = ask(None, None, Step::All, Split::None).await;
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].minute, all[0].relayed.up_bytes, all[0].relayed.down_bytes), (day, 163, 16));
    assert_eq!((all[0].least_bytes, all[0].most_bytes, all[0].lines, all[0].relayed.sessions), (7, 112, 4, 5));
    let hours = ask(Some("a"), None, Step::Hour, Split::None).await;
    assert_eq!(
        hours.iter().map(|sum| (sum.minute - day, sum.relayed.bytes())).collect::<Vec<_>>(),
        [(0, 162), (60, 7)]
    );
    let tags = ask(Some("a"), None, Step::Day, Split::Tag).await;
    let told: Vec<_> = tags.iter().map(|sum| (sum.tag.as_deref(), sum.relayed.bytes())).collect();
    assert_eq!(told, [(Some("ann"), 119), (Some("ben"), 50)]);
    assert_eq!(ask(None, Some("ben"), Step::Minute, Split::Application).await[0].application.as_deref(), Some("a"));
    assert_eq!(store.used_tags("a", 0, 10).await.expect("labels"), ["ann", "ben"]);

    let month = tandem_store::month(day * 60_000);
    let mut months = store.month_bytes(month).await.expect("sums");
    months.sort();
    assert_eq!(months, [("a".to_owned(), 169), ("b".to_owned(), 10)]);
    assert_eq!(store.forget_usage(day + 60).await.expect("forgotten"), 2);
    assert_eq!(ask(Some("a"), None, Step::All, Split::None).await[0].relayed.bytes(), 7);
    assert_eq!(store.month_bytes(month).await.expect("sums").len(), 2, "quotas outlive the minutes");
}
