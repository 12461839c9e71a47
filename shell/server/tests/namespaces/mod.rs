//! Three network namespaces in a row, gone at the end: `client ─ near ─ relay ─ far ─ peer`.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Who computes the checksums of what client and peer send.
#[allow(dead_code, reason = "each test file uses its part")]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Checksums {
    /// They do, as a packet on a wire has one.
    InSoftware,
    /// Nobody, as between containers of one host.
    InHardware,
}

/// The namespaces.
pub struct Net {
    names: [String; 3],
}

impl Net {
    /// `None`: this process may not make any.
    pub fn new(checksums: Checksums) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let names = ["client", "relay", "peer"].map(|part| format!("tandem-{}-{number}-{part}", std::process::id()));
        let net = Self { names };
        // SAFETY: no arguments, no effects.
        if unsafe { libc::geteuid() } != 0 || !try_run(&format!("ip netns add {}", net.names[0])) {
            #[allow(clippy::print_stderr, reason = "a test that cannot run says so")]
            {
                eprintln!("skipped: making network namespaces takes root");
            }
            return None;
        }
        net.build(checksums);
        Some(net)
    }

    fn build(&self, checksums: Checksums) {
        let [client, relay, peer] = &self.names;
        for name in [relay, peer] {
            run(&format!("ip netns add {name}"));
        }
        for name in &self.names {
            run(&format!("ip -n {name} link set lo up"));
            run(&format!("ip netns exec {name} sysctl -qw net.ipv6.conf.default.accept_dad=0"));
        }
        for (number, link, other) in [(1, "near", client), (2, "far", peer)] {
            run(&format!("ip link add {link} netns {relay} type veth peer name {link} netns {other}"));
            run(&format!("ip -n {relay} addr add 10.77.{number}.1/24 dev {link}"));
            run(&format!("ip -n {relay} addr add fd77:{number}::1/64 dev {link} nodad"));
            for host in [2, 3] {
                run(&format!("ip -n {other} addr add 10.77.{number}.{host}/24 dev {link}"));
                run(&format!("ip -n {other} addr add fd77:{number}::{host}/64 dev {link} nodad"));
            }
            for name in [relay, other] {
                run(&format!("ip -n {name} link set {link} up"));
            }
            run(&format!("ip -n {other} route add default via 10.77.{number}.1"));
            run(&format!("ip -n {other} route add default via fd77:{number}::1"));
            if checksums == Checksums::InSoftware {
                run(&format!("ip netns exec {other} ethtool -K {link} tx off"));
            }
        }
    }

    /// Does something as the client.
    pub fn client<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        inside(&self.names[0], act)
    }

    /// Does something as the relay.
    pub fn relay<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        inside(&self.names[1], act)
    }

    /// Does something as the peer.
    pub fn peer<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        inside(&self.names[2], act)
    }

    /// Whether a program is attached to the relay's interface.
    pub fn has_program(&self) -> bool {
        let shown = Command::new("ip").args(["-n", &self.names[1], "link", "show", "near"]).output().expect("ip runs");
        String::from_utf8_lossy(&shown.stdout).contains("xdp")
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for name in &self.names {
            try_run(&format!("ip netns del {name}"));
        }
    }
}

/// Sockets, threads and processes that are made inside stay there.
fn inside<T: Send>(name: &str, act: impl FnOnce() -> T + Send) -> T {
    let enter = || {
        use std::os::fd::AsRawFd as _;
        let namespace = std::fs::File::open(format!("/run/netns/{name}")).expect("a namespace");
        // SAFETY: of this thread alone, which ends with what it does.
        assert_eq!(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) }, 0);
        act()
    };
    std::thread::scope(|scope| scope.spawn(enter).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

fn run(line: &str) {
    assert!(try_run(line), "{line}");
}

fn try_run(line: &str) -> bool {
    let mut words = line.split(' ');
    let output = Command::new(words.next().expect("a command")).args(words).output();
    output.is_ok_and(|output| output.status.success())
}
