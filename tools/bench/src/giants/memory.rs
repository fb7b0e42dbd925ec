//! The memory of a process, as Linux counts it.

use anyhow::Context;

/// What a process had when it was idle, and the most that others before it had over that.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    idle: u64,
    before: u64,
}

impl Memory {
    /// Takes what the process has now for idle, and forgets its peak.
    pub(crate) fn idle(pid: u32) -> anyhow::Result<Memory> {
        // "5" resets the peak of resident memory (proc(5)).
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5").context("forgetting the peak of memory")?;
        Ok(Memory { idle: resident(pid, "VmRSS:")?, before: 0 })
    }

    /// The most that the process, or one before it, had over an idle one.
    pub(crate) fn over_idle(&self, pid: u32) -> anyhow::Result<u64> {
        Ok(self.before.max(resident(pid, "VmHWM:")?.saturating_sub(self.idle)))
    }

    /// The same.
    pub(crate) fn peak(&self, pid: u32) -> anyhow::Result<u64> {
        self.over_idle(pid)
    }

    /// The same, after a process before it with this peak.
    pub(crate) fn after(self, before: u64) -> Memory {
        Memory { before: self.before.max(before), ..self }
    }
}

/// The memory that a line of `/proc/PID/status` tells.
pub(crate) fn resident(pid: u32, line: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = status.lines().find_map(|l| l.strip_prefix(line)).and_then(|l| l.trim().strip_suffix("kB"));
    Ok(kib.and_then(|kib| kib.trim().parse::<u64>().ok()).context("/proc/PID/status has the resident memory")? << 10)
}
