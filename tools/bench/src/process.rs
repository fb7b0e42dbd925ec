//! A process that this one started and talks with over pipes.
//!
//! **Invariants**
//! - It is killed and gone when this value is: what it wrote can be removed then, also when whoever waited gave up.

use anyhow::{Context, bail, ensure};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use tokio::task::spawn_blocking;

/// A process of ours.
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts it; what it says on stderr is ours.
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Process> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().with_context(|| format!("starting {:?}", command.get_program()))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().map(BufReader::new));
        Ok(Process { child, stdin, stdout })
    }

    /// Tells it something, the only thing it is told.
    pub(crate) async fn tell(&mut self, bytes: Vec<u8>) -> anyhow::Result<()> {
        let mut stdin = self.stdin.take().context("it was told already")?;
        Ok(spawn_blocking(move || stdin.write_all(&bytes)).await??)
    }

    /// The next line it says.
    pub(crate) async fn line(&mut self) -> anyhow::Result<String> {
        let mut stdout = self.stdout.take().context("it is being listened to")?;
        let (stdout, line) = spawn_blocking(move || {
            let mut line = String::new();
            stdout.read_line(&mut line).map(|_| (stdout, line))
        })
        .await??;
        self.stdout = Some(stdout);
        ensure!(!line.is_empty(), "it ended before it said anything");
        Ok(line.trim().to_owned())
    }

    /// What it says until it ends well.
    pub(crate) async fn finish(mut self) -> anyhow::Result<String> {
        let mut stdout = self.stdout.take().context("it is being listened to")?;
        let said = spawn_blocking(move || {
            let mut said = String::new();
            stdout.read_to_string(&mut said).map(|_| said)
        })
        .await??;
        // It closed its output: it is about to end.
        let status = self.child.wait()?;
        if !status.success() {
            bail!("it ended with {status}");
        }
        Ok(said)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only where it ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Pid, test_kill_process};

    #[tokio::test]
    async fn it_answers_and_it_is_gone_when_nobody_waits_for_it_any_more() {
        let mut echo = Process::start(&mut Command::new("cat")).expect("there is cat");
        echo.tell(b"one\ntwo\n".to_vec()).await.expect("it listens");
        assert_eq!(echo.line().await.expect("it answers"), "one");
        assert_eq!(echo.finish().await.expect("it ends"), "two\n");
        let mut waiting = Process::start(&mut Command::new("cat")).expect("there is cat");
        let pid = Pid::from_child(&waiting.child);
        let nothing = tokio::time::timeout(std::time::Duration::from_millis(1), waiting.line()).await;
        assert!(nothing.is_err());
        drop(waiting);
        assert!(test_kill_process(pid).is_err());
    }
}
