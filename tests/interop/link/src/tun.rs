//! A TUN device in a network namespace: the only file that talks to the kernel past the standard library.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::process::Command;

/// Where a device stands, and under which name and addresses.
#[derive(Clone)]
pub struct Place {
    /// A name below `/run/netns`; `.` is where this program runs.
    pub namespace: String,
    pub device: String,
    pub addresses: [String; 2],
}

impl Place {
    /// Makes the device, which lives as long as the file, and gives it its addresses.
    pub fn open(&self) -> io::Result<File> {
        // A thread that has gone to another namespace does not come back.
        let place = self.clone();
        let file = std::thread::spawn(move || {
            if place.namespace != "." {
                enter(&File::open(format!("/run/netns/{}", place.namespace))?)?;
            }
            open(&place.device)
        })
        .join()
        .map_err(|_| io::Error::other("the thread that opens the device has broken down"))??;
        for address in &self.addresses {
            let mut words = vec!["addr", "add", address, "dev", &self.device];
            if address.contains(':') {
                // Usable at once: nobody else is there to have the same address.
                words.push("nodad");
            }
            self.ip(&words)?;
        }
        self.ip(&["link", "set", &self.device, "mtu", "1500", "up"])?;
        Ok(file)
    }

    /// `ip` of iproute2, in that namespace.
    pub fn ip(&self, words: &[&str]) -> io::Result<()> {
        let mut command = Command::new("ip");
        if self.namespace != "." {
            command.args(["-n", &self.namespace]);
        }
        let output = command.args(words).output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(io::Error::other(format!("ip {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim())))
    }
}

fn enter(namespace: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open, and the call changes nothing but this thread's namespace.
    match unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn open(name: &str) -> io::Result<File> {
    let file = File::options().read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: all zeros is a value of this C structure.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero.
    if name.len() >= request.ifr_name.len() {
        return Err(io::Error::other(format!("expected a shorter name of a device than {name}")));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the request is what TUNSETIFF reads and writes, and outlives the call.
    match unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as libc::Ioctl, &raw mut request) } {
        0 => Ok(file),
        _ => Err(io::Error::last_os_error()),
    }
}
