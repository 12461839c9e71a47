//! What a process on this machine has used, as Linux tells it.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;

/// A process by its number.
#[derive(Clone, Copy)]
pub struct Process(pub u32);

/// At one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// In the program and in the kernel.
    pub processor: Duration,
    pub resident_bytes: u64,
}

impl Process {
    pub fn usage(self) -> anyhow::Result<Usage> {
        let read = |file: &str| {
            let path = format!("/proc/{}/{file}", self.0);
            fs::read_to_string(&path).with_context(|| format!("expected a process that runs: {path}"))
        };
        let ticks = processor_ticks(&read("stat")?).context("/proc/*/stat as it is not known")?;
        let resident_bytes = resident_kib(&read("status")?).context("/proc/*/status as it is not known")? * 1024;
        Ok(Usage { processor: Duration::from_secs(ticks) / TICKS_PER_SECOND, resident_bytes })
    }
}

/// utime and stime: the 14th and the 15th field, of which the second may have spaces in it (proc_pid_stat(5)).
fn processor_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

fn resident_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// USER_HZ is 100 on every architecture Linux has today.
const TICKS_PER_SECOND: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_brackets_moves_nothing() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 100 1000 10 18446744073709551615";
        assert_eq!(processor_ticks(stat), Some(300));
        assert_eq!(processor_ticks("42 (a) S 1"), None);
        assert_eq!(resident_kib("Name:\ta\nVmRSS:\t    1234 kB\n"), Some(1234));
    }

    #[test]
    fn this_process_has_used_something() {
        let usage = Process(std::process::id()).usage().expect("it runs");
        assert!(usage.resident_bytes > 100_000);
        assert!(Process(u32::MAX).usage().is_err());
    }
}
