//! The machine that was measured on, and whether it had anything else to do.

use crate::place::Place;
use anyhow::Context;
use std::fmt;
use std::time::Duration;

/// How long it is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// The share of CPU time used by others from which on numbers are not to be quoted.
const BUSY: f64 = 0.1;

/// The machine.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    memory_gib: f64,
    kernel: String,
    file_system: String,
    /// The share of CPU time that others used, at the beginning and, once looked at again, at the end.
    used: Vec<f64>,
}

impl Machine {
    /// Looks at it for a second, in which we do nothing.
    pub(crate) async fn look(place: &Place) -> anyhow::Result<Machine> {
        let (cpus, memory) = (read("/proc/cpuinfo")?, read("/proc/meminfo")?);
        let kib: f64 = field(&memory, "MemTotal").and_then(|v| v.split(' ').next()?.parse().ok()).unwrap_or_default();
        Ok(Machine {
            cpu: field(&cpus, "model name").unwrap_or("unknown CPU").to_owned(),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_gib: kib / f64::from(1 << 20),
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            file_system: place.file_system()?,
            used: vec![used().await?],
        })
    }

    /// Looks at the end again.
    pub(crate) async fn look_again(&mut self) -> anyhow::Result<()> {
        self.used.push(used().await?);
        Ok(())
    }

    fn is_busy(&self) -> bool {
        self.used.iter().any(|used| *used > BUSY)
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cpu, cores, memory_gib, kernel, file_system, .. } = self;
        write!(f, "{cpu}, {cores} cores, {memory_gib:.0} GiB, Linux {kernel}, {file_system}.")?;
        let used: Vec<String> = self.used.iter().map(|used| format!("{:.0}%", used * 100.0)).collect();
        if self.is_busy() {
            write!(f, " **Measured on a busy machine, not to be quoted**: others used {} of it.", used.join(" and "))
        } else {
            write!(f, " Others used {} of it (before, after).", used.join(" and "))
        }
    }
}

/// The share of CPU time used while we do nothing.
async fn used() -> anyhow::Result<f64> {
    let (idle, all) = ticks()?;
    // Nothing is waited for but time.
    let _ = tokio::time::timeout(LOOK, std::future::pending::<()>()).await;
    let (idle_then, all_then) = ticks()?;
    Ok(1.0 - (idle_then - idle) / (all_then - all).max(1.0))
}

/// CPU time of all cores, idle (or waiting for a disk) and in all.
fn ticks() -> anyhow::Result<(f64, f64)> {
    let stat = read("/proc/stat")?;
    let line = stat.lines().next().context("/proc/stat has a first line")?;
    let ticks: Vec<f64> = line.split_whitespace().skip(1).take(8).filter_map(|t| t.parse().ok()).collect();
    Ok((ticks.iter().skip(3).take(2).sum(), ticks.iter().sum()))
}

fn read(path: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| path.to_owned())
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_busy_machine_says_so_and_a_quiet_one_does_not() {
        let place = Place::new(std::path::Path::new("/var/tmp")).expect("the folder can be made");
        let mut machine = Machine::look(&place).await.expect("this is a Linux");
        assert!(machine.used.iter().all(|used| (0.0..=1.0).contains(used)), "{machine:?}");
        machine.used = vec![0.02, 0.03];
        assert!(!machine.to_string().contains("busy"));
        machine.used = vec![0.02, 0.4];
        assert!(machine.to_string().contains("busy machine") && machine.to_string().contains("2% and 40%"));
    }
}
