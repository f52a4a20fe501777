//! Processor time, of this process and of a server on the same machine.

use std::fs;

use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};

/// Processor time used so far, in seconds.
#[derive(Clone, Copy)]
pub struct Usage {
    /// Of this process.
    pub client: f64,
    /// Of a server and its children.
    pub server: Option<f64>,
}

impl Usage {
    /// What was used until now, by this process and by the process `server`.
    pub fn now(server: Option<u32>) -> Self {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        Self {
            client: time.tv_sec as f64 + time.tv_nsec as f64 / 1e9,
            server: server.map(of_process),
        }
    }
}

/// A process and its children, those that have ended included: `PostgreSQL` has a child for each
/// connection.
fn of_process(pid: u32) -> f64 {
    let mut ticks = 0;
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        // Not a process, or one that has ended meanwhile.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        let process = Process::read(&stat).unwrap_or_default();
        if process.pid == pid {
            ticks += process.own + process.ended_children;
        } else if process.parent == pid {
            ticks += process.own;
        }
    }
    ticks as f64 / clock_ticks_per_second() as f64
}

#[derive(Debug, Default, PartialEq)]
struct Process {
    pid: u32,
    parent: u32,
    own: u64,
    ended_children: u64,
}

impl Process {
    /// Reads `/proc/PID/stat`; see `man 5 proc`. The name in parentheses may contain anything.
    fn read(stat: &str) -> Option<Self> {
        let (pid, rest) = stat.split_once(' ')?;
        let (_, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let number = |place: usize| fields.get(place)?.parse::<u64>().ok();
        Some(Self {
            pid: pid.parse().ok()?,
            parent: number(1)? as u32,
            own: number(11)? + number(12)?,
            ended_children: number(13)? + number(14)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_a_strange_name_is_read() {
        let stat = "42 (a ) b) S 7 42 42 0 -1 4194304 1 2 3 4 100 20 3 4 20 0 1 0 5 6";
        let expected = Process {
            pid: 42,
            parent: 7,
            own: 120,
            ended_children: 7,
        };
        assert_eq!(Process::read(stat), Some(expected));
    }

    #[test]
    fn both_times_grow_with_work() {
        let before = Usage::now(Some(std::process::id()));
        while Usage::now(None).client < before.client + 0.05 {}
        let after = Usage::now(Some(std::process::id()));
        assert!(after.client >= before.client + 0.05);
        assert!(after.server > before.server);
    }
}
