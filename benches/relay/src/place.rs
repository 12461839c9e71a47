//! Where a load takes place: on loopback, or across a link between two network namespaces, as between two machines.
//!
//! ```text
//!   namespace of the calling thread: clients and peer, 10.78.1.2 ── link ── 10.78.1.1, the server's namespace
//! ```

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::os;
use crate::turn;

/// Where.
pub enum Place {
    Loopback,
    Link(Link),
}

/// Two namespaces; the server's is gone when this is dropped, the other one with its thread.
pub struct Link {
    pub server: String,
}

impl Place {
    /// Puts the calling thread, and what it opens and starts from here on, at the one end of a link.
    pub fn link() -> anyhow::Result<Self> {
        let server = format!("tandem-bench-{}", std::process::id());
        os::leave_network().context("network namespaces need root")?;
        let here = os::thread_id();
        run(&format!("ip netns add {server}"))?;
        let link = Link { server };
        let server = &link.server;
        run("ip link set lo up")?;
        run(&format!("ip -n {server} link set lo up"))?;
        run(&format!("ip link add near netns {server} type veth peer name far netns {here}"))?;
        run(&format!("ip -n {server} addr add 10.78.1.1/24 dev near"))?;
        run("ip addr add 10.78.1.2/24 dev far")?;
        run(&format!("ip -n {server} link set near up"))?;
        run("ip link set far up")?;
        // Packets have checksums, as on a wire, and none is merged from several.
        run("ethtool -K far tx off")?;
        run(&format!("ip netns exec {server} ethtool -K near tx off"))?;
        Ok(Self::Link(link))
    }

    /// Where the server listens and relays.
    pub fn server(&self) -> Ipv4Addr {
        match self {
            Self::Loopback => Ipv4Addr::LOCALHOST,
            Self::Link(_) => Ipv4Addr::new(10, 78, 1, 1),
        }
    }

    /// Where the peer is.
    pub fn peer(&self) -> Ipv4Addr {
        match self {
            Self::Loopback => Ipv4Addr::LOCALHOST,
            Self::Link(_) => Ipv4Addr::new(10, 78, 1, 2),
        }
    }

    /// Where a client is.
    pub fn client(&self, index: usize) -> Ipv4Addr {
        match self {
            Self::Loopback => turn::client_address(index),
            Self::Link(_) => self.peer(),
        }
    }

    /// A program that runs at the server's end.
    pub fn command(&self, program: &std::path::Path) -> Command {
        match self {
            Self::Loopback => Command::new(program),
            Self::Link(link) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", &link.server]).arg(program);
                command
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = run(&format!("ip netns del {}", self.server));
    }
}

fn run(line: &str) -> anyhow::Result<()> {
    let mut words = line.split(' ');
    let output = Command::new(words.next().context("a command")?).args(words).output().context(line.to_owned())?;
    if !output.status.success() {
        bail!("{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
