//! Loading the program and attaching it to interfaces.

use std::error::Error;
use std::io;
use std::os::fd::AsFd as _;
use std::time::Instant;

use aya::maps::{HashMap, Map, MapData};
use aya::programs::{Xdp, XdpMode};
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};

use crate::interfaces::{self, Interface};
use crate::layout::{Flow, Key, bucket, direction};
use crate::memory::Words;
use crate::table::{Share, Table};

/// Where to relay inside the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interfaces {
    /// Where the default routes lead.
    Auto,
    /// On these.
    Named(Vec<String>),
}

/// How the program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By the driver, before the kernel makes a packet of its own kind.
    Native,
    /// By the kernel, after that: works with every driver, and gains less.
    Generic,
}

/// Why nothing is relayed inside the kernel.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The process lacks capabilities.
    #[error("expected the capabilities CAP_BPF and CAP_NET_ADMIN: the kernel refuses the program")]
    NotAllowed,
    /// No interface was named and none leads out.
    #[error("expected an interface with a default route, or the names of interfaces")]
    NoneLeadsOut,
    /// There is no such interface.
    #[error("expected an interface of this host, got `{name}`")]
    Unknown {
        /// As given.
        name: String,
    },
    /// Packets do not come in Ethernet frames there.
    #[error("expected an Ethernet interface, got `{name}`")]
    NotEthernet {
        /// As given.
        name: String,
    },
    /// The interface has such a program already, or cannot have one.
    #[error("cannot attach to `{name}`: {reason}")]
    Attach {
        /// Which.
        name: String,
        /// As the kernel says.
        reason: String,
    },
    /// The kernel does not take the program.
    #[error("cannot load the program (expected Linux 5.15 or newer): {reason}")]
    Load {
        /// As the kernel says.
        reason: String,
    },
}

/// The program in the kernel, attached. Dropping it takes it away.
pub struct Kernel {
    program: Ebpf,
    names: Vec<String>,
    mode: Mode,
    channels: u32,
}

impl Kernel {
    /// Loads the program with room for so many channels and attaches it: by the drivers, if all interfaces are of hardware and
    /// all of their drivers can.
    ///
    /// # Errors
    /// Capabilities, kernel, or interfaces are missing.
    pub fn load(wanted: &Interfaces, channels: u32) -> Result<Self, Refused> {
        let chosen = choose(wanted)?;
        let mut program = load(&chosen, channels)?;
        let relay: &mut Xdp = program.program_mut("relay").ok_or_else(damaged)?.try_into().map_err(load_failed)?;
        // What one driver relays another must be able to send: all in one mode. A virtual interface (veth) takes the program
        // and loses what it sends where its other end is not prepared for it.
        let native = chosen.iter().all(|(name, ..)| interfaces::is_hardware(name))
            && attach(relay, &chosen, XdpMode::Driver).is_ok();
        let mode = if native {
            Mode::Native
        } else {
            attach(relay, &chosen, XdpMode::Skb)?;
            Mode::Generic
        };
        Ok(Self { program, names: chosen.into_iter().map(|(name, ..)| name).collect(), mode, channels })
    }

    /// The interfaces.
    pub fn interfaces(&self) -> &[String] {
        &self.names
    }

    /// How it is attached to them.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The part of one shard, of so many: channels are named by their allocation, whatever names those.
    ///
    /// # Errors
    /// Memory or descriptors are short.
    pub fn table<A: Copy + Ord>(&self, shard: u32, shards: u32) -> io::Result<Table<A>> {
        let flows =
            HashMap::<MapData, Key, Flow>::try_from(Map::HashMap(self.same_map("flows")?)).map_err(io::Error::other)?;
        // A word of bits belongs to one shard.
        let each = self.channels / shards.max(1) / 64 * 64;
        let share = Share {
            first: shard.saturating_mul(each),
            channels: each,
            directions: self.words("directions", direction::WORDS.saturating_mul(2))?,
            buckets: self.words("buckets", bucket::WORDS)?,
            touched: self.words("touched", 1)?,
        };
        Ok(Table::new(flows, share, (Instant::now(), monotonic()?)))
    }

    fn words(&self, name: &str, per_channel: usize) -> io::Result<Words> {
        let map = self.same_map(name)?;
        let channels = usize::try_from(self.channels).unwrap_or(usize::MAX);
        let words = if name == "touched" { channels.div_ceil(64) } else { channels.saturating_mul(per_channel) };
        Words::map(map.fd().as_fd(), words)
    }

    /// A map by a descriptor of its own.
    fn same_map(&self, name: &str) -> io::Result<MapData> {
        let map = match self.program.map(name) {
            Some(Map::HashMap(map) | Map::Array(map)) => map,
            _ => return Err(io::Error::other(format!("the program has no table `{name}`"))),
        };
        MapData::from_fd(map.fd().as_fd().try_clone_to_owned()?).map_err(io::Error::other)
    }
}

type Chosen = Vec<(String, u32, [u8; 6])>;

fn choose(wanted: &Interfaces) -> Result<Chosen, Refused> {
    let all = interfaces::all().map_err(load_failed)?;
    let known = |name: String| match all.get(&name) {
        None => Err(Refused::Unknown { name }),
        Some(Interface { ethernet: None, .. }) => Err(Refused::NotEthernet { name }),
        Some(Interface { number, ethernet: Some(ethernet) }) => Ok((name, *number, *ethernet)),
    };
    match wanted {
        Interfaces::Named(names) => names.iter().cloned().map(known).collect(),
        Interfaces::Auto => {
            let chosen: Chosen = interfaces::leading_out().into_iter().filter_map(|name| known(name).ok()).collect();
            if chosen.is_empty() { Err(Refused::NoneLeadsOut) } else { Ok(chosen) }
        }
    }
}

/// Into the kernel, attached to nothing.
fn load(chosen: &Chosen, channels: u32) -> Result<Ebpf, Refused> {
    let mut program = EbpfLoader::new()
        .btf(None)
        .map_max_entries("flows", channels.saturating_mul(2))
        .map_max_entries("directions", channels.saturating_mul(2))
        .map_max_entries("buckets", channels)
        .map_max_entries("touched", channels.div_ceil(64))
        .map_max_entries("interfaces", u32::try_from(chosen.len()).unwrap_or(u32::MAX))
        .load(OBJECT)
        .map_err(load_failed)?;
    let known = program.map_mut("interfaces").ok_or_else(damaged)?;
    let mut known = HashMap::<_, u32, u64>::try_from(known).map_err(load_failed)?;
    for (_, number, ethernet) in chosen {
        known.insert(number, ethernet_number(*ethernet), 0).map_err(load_failed)?;
    }
    let relay: &mut Xdp = program.program_mut("relay").ok_or_else(damaged)?.try_into().map_err(load_failed)?;
    relay.load().map_err(load_failed)?;
    Ok(program)
}

/// All or none.
fn attach(program: &mut Xdp, chosen: &Chosen, mode: XdpMode) -> Result<(), Refused> {
    let mut links = Vec::new();
    for (name, number, _) in chosen {
        match program.attach_to_if_index(*number, mode) {
            Ok(link) => links.push(link),
            Err(error) => {
                for link in links {
                    let _ = program.detach(link);
                }
                return Err(Refused::Attach { name: name.clone(), reason: innermost(&error) });
            }
        }
    }
    Ok(())
}

/// As the program compares it: the first byte lowest.
fn ethernet_number(address: [u8; 6]) -> u64 {
    let [a, b, c, d, e, f] = address;
    u64::from_ne_bytes([a, b, c, d, e, f, 0, 0])
}

fn load_failed(error: impl Error + 'static) -> Refused {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(inner) = cause {
        if inner.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
            return Refused::NotAllowed;
        }
        cause = inner.source();
    }
    Refused::Load { reason: innermost(&error) }
}

/// The cause of all, in words.
fn innermost(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(inner) = error.source() {
        error = inner;
    }
    error.to_string()
}

fn damaged() -> Refused {
    Refused::Load { reason: "a part of the program is missing".to_owned() }
}

/// The clock of the program, in nanoseconds; the same that [`Instant`] reads.
fn monotonic() -> io::Result<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes into a timespec of ours.
    if unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    Ok(seconds.unwrap_or_default().saturating_mul(1_000_000_000).saturating_add(nanos.unwrap_or_default()))
}

/// `bpf/relay.c`, compiled by `bpf/build`.
static OBJECT: &[u8] = include_bytes_aligned!("../bpf/relay.o");

#[cfg(test)]
pub(crate) mod tests {
    use aya::programs::{TestRun as _, TestRunOptions};

    use super::*;

    /// Our Ethernet address on the interface that packets of [`run`] come in by.
    pub(crate) const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];

    /// The program, attached to nothing. `None`: this process may not load it.
    pub(crate) fn unattached(channels: u32) -> Option<Kernel> {
        match load(&vec![("lo".to_owned(), 1, OURS)], channels) {
            Ok(program) => Some(Kernel { program, names: Vec::new(), mode: Mode::Generic, channels }),
            Err(Refused::NotAllowed) => {
                #[allow(clippy::print_stderr, reason = "a test that cannot run says so")]
                {
                    eprintln!("skipped: loading a program into the kernel takes CAP_BPF and CAP_NET_ADMIN");
                }
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// What the program does with one frame.
    pub(crate) fn run(kernel: &Kernel, frame: &[u8]) -> (u32, Vec<u8>) {
        let relay: &Xdp = kernel.program.program("relay").expect("the program").try_into().expect("of XDP");
        let mut out = vec![0; 2_048];
        let options = TestRunOptions { data_in: Some(frame), data_out: Some(&mut out), ..TestRunOptions::new() };
        let result = relay.test_run(options).expect("a run");
        let length = usize::try_from(result.data_size_out).expect("a length");
        (result.return_value, out.get(..length).expect("a frame").to_vec())
    }
}
