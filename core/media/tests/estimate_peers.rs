//! What peers may report: nonsense, floods, nothing at all, or only receiver reports.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use tandem_media::bitrate::Bitrate;
use tandem_media::estimate::{Estimator, LEAST, MOST};

const START: Bitrate = Bitrate::from_kbps(500);

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
    Instant::now()
}

/// Sends a packet of a thousand bytes every eight milliseconds, a megabit per second.
fn send_for(estimator: &mut Estimator, now: &mut Instant, packets: u64, seq: &mut u64) {
    for _ in 0..packets {
        *now += Duration::from_millis(8);
        estimator.on_sent(*now, *seq, 1_000, None);
        *seq += 1;
    }
}

#[derive(Debug, Clone)]
enum Step {
    Send { ahead: u64, size: usize, times: u8 },
    Wait(u32),
    Feedback(Vec<(u64, Option<Duration>)>),
    Report(u8, Option<Duration>),
    Remb(u64),
    Timeout,
    Probe(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = prop_oneof![4 => 0..600_u64, 1 => any::<u64>()];
    let arrival = prop_oneof![
        2 => Just(None),
        6 => (0..5_000_000_u64).prop_map(|micros| Some(Duration::from_micros(micros))),
        1 => Just(Some(Duration::MAX)),
        1 => any::<u64>().prop_map(|secs| Some(Duration::from_secs(secs))),
    ];
    let time =
        prop_oneof![Just(None), Just(Some(Duration::MAX)), (0..900_u64).prop_map(|ms| Some(Duration::from_millis(ms)))];
    let step = prop_oneof![
        4 => (prop_oneof![9 => 1..3_u64, 1 => any::<u64>()], any::<u16>(), 1..60_u8)
            .prop_map(|(ahead, size, times)| Step::Send { ahead, size: usize::from(size), times }),
        3 => (0..500_000_u32).prop_map(Step::Wait),
        4 => proptest::collection::vec((number, arrival), 0..100).prop_map(Step::Feedback),
        1 => (any::<u8>(), time).prop_map(|(lost, rtt)| Step::Report(lost, rtt)),
        1 => any::<u64>().prop_map(Step::Remb),
        1 => Just(Step::Timeout),
        1 => any::<u64>().prop_map(Step::Probe),
    ];
    proptest::collection::vec(step, 0..120)
}

proptest! {
    #[test]
    fn whatever_is_reported_the_target_stays_within_its_bounds(steps in steps()) {
        let mut now = start();
        let mut estimator = Estimator::new(now, START);
        let (mut seq, mut probe) = (0_u64, None);
        for step in steps {
            match step {
                Step::Send { ahead, size, times } => {
                    for _ in 0..times {
                        estimator.on_sent(now, seq, size, probe);
                        seq = seq.wrapping_add(ahead);
                    }
                }
                Step::Wait(micros) => now += Duration::from_micros(micros.into()),
                Step::Feedback(list) => estimator.on_feedback(now, list.into_iter()),
                Step::Report(lost, rtt) => estimator.on_report(now, lost, rtt),
                Step::Remb(bps) => estimator.on_remb(now, Bitrate::from_bps(bps)),
                Step::Timeout => estimator.handle_timeout(now),
                Step::Probe(needed) => {
                    probe = estimator.poll_probe(now, Bitrate::from_bps(needed)).map(|probe| probe.id).or(probe);
                }
            }
            prop_assert!((LEAST..=MOST).contains(&estimator.target()), "{}", estimator.target());
            prop_assert!((0.0..=1.0).contains(&estimator.loss()));
            prop_assert!(estimator.rtt() <= Duration::from_secs(10));
        }
    }
}

#[test]
fn a_timeout_that_has_been_handled_does_not_come_again_at_once() {
    let mut now = start();
    let (mut estimator, mut seq) = (Estimator::new(now, START), 0);
    estimator.poll_probe(now, Bitrate::from_kbps(100));
    send_for(&mut estimator, &mut now, 50, &mut seq);
    estimator.on_feedback(now, (0..seq).map(|seq| (seq, Some(Duration::from_millis(8 * seq)))));
    send_for(&mut estimator, &mut now, 50, &mut seq);
    for _ in 0..20 {
        let Some(due) = estimator.poll_timeout() else { return };
        let at = due.max(now);
        estimator.handle_timeout(at);
        assert!(estimator.poll_timeout().is_none_or(|next| next > at));
        now = at;
    }
}

#[test]
fn a_feedback_that_names_everything_again_and_again_changes_nothing() {
    let mut now = start();
    let (mut estimator, mut seq) = (Estimator::new(now, START), 0);
    send_for(&mut estimator, &mut now, 100, &mut seq);
    let feedback = |from: u64| (from..from + 100).map(|seq| (seq, Some(Duration::from_millis(8 * seq))));
    estimator.on_feedback(now, feedback(0));
    let before = estimator.target();
    for _ in 0..1_000 {
        now += Duration::from_millis(10);
        estimator.on_feedback(now, feedback(0));
        estimator.on_feedback(now, feedback(1_000_000));
    }
    assert_eq!((estimator.target(), estimator.loss()), (before, 0.0));
}

#[test]
fn a_peer_with_receiver_reports_only_is_followed_by_its_loss_and_its_remb() {
    let mut now = start();
    let (mut estimator, mut seq) = (Estimator::new(now, START), 0);
    for _ in 0..10 {
        send_for(&mut estimator, &mut now, 125, &mut seq);
        estimator.on_report(now, 0, Some(Duration::from_millis(60)));
    }
    let up = estimator.target();
    assert!(up > Bitrate::from_kbps(900), "{up}");
    assert!(estimator.rtt() == Duration::from_millis(60));
    estimator.on_remb(now, Bitrate::from_kbps(700));
    assert_eq!(estimator.target(), Bitrate::from_kbps(700));
    for _ in 0..10 {
        send_for(&mut estimator, &mut now, 125, &mut seq);
        estimator.on_report(now, 77, Some(Duration::from_millis(60)));
    }
    assert!(estimator.target() < Bitrate::from_kbps(150), "{}", estimator.target());
}

#[test]
fn a_peer_that_reports_nothing_keeps_the_start() {
    let mut now = start();
    let (mut estimator, mut seq) = (Estimator::new(now, START), 0);
    send_for(&mut estimator, &mut now, 10_000, &mut seq);
    estimator.handle_timeout(now);
    assert_eq!(estimator.target(), START);
}

#[test]
fn an_idle_estimator_waits_for_nothing() {
    let now = start();
    let mut estimator = Estimator::new(now, START);
    assert_eq!(estimator.poll_timeout(), None);
    assert_eq!(estimator.poll_probe(now, Bitrate::from_kbps(100)), None);
    assert_eq!(estimator.poll_timeout(), None);
}
