//! Secrets typed by people: asked for without echo on a terminal, or read from stdin.

use crate::verb::Usage;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};

/// No password is longer than this, in bytes.
const PASSWORD_BYTES_MAX: u64 = 4096;

/// Reads a password: the first line of stdin where `from_stdin`, else typed on the terminal without echo.
pub fn password(prompt: &str, from_stdin: bool) -> crate::Result<String> {
    if from_stdin {
        return line(io::stdin().lock());
    }
    let Ok(terminal) = File::options().read(true).write(true).open("/dev/tty") else {
        return Err(Usage("there is no terminal to ask for the password on; use --password-stdin".to_owned()).into());
    };
    let quiet = Quiet::begin(&terminal)?;
    (&terminal).write_all(format!("{prompt}: ").as_bytes())?;
    let typed = line(BufReader::new(&terminal));
    drop(quiet);
    (&terminal).write_all(b"\n")?;
    typed
}

/// The same, typed twice on a terminal, for a password that is set.
pub fn new_password(prompt: &str, from_stdin: bool) -> crate::Result<String> {
    let first = password(prompt, from_stdin)?;
    if !from_stdin && password("The same again", false)? != first {
        return Err(Usage("the two passwords differ".to_owned()).into());
    }
    Ok(first)
}

/// Asks on the terminal; anything but `y` or `yes` is a no.
pub(crate) fn is_yes(question: &str) -> crate::Result<bool> {
    let mut out = io::stderr().lock();
    write!(out, "{question} [y/N] ")?;
    out.flush()?;
    let mut text = String::new();
    io::stdin().lock().take(PASSWORD_BYTES_MAX).read_line(&mut text)?;
    Ok(matches!(text.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn line(from: impl BufRead) -> crate::Result<String> {
    let mut text = String::new();
    match from.take(PASSWORD_BYTES_MAX).read_line(&mut text) {
        Err(e) if e.kind() == io::ErrorKind::InvalidData => {
            return Err(Usage("the password is not UTF-8".to_owned()).into());
        }
        read => read?,
    };
    let text = text.trim_end_matches(['\n', '\r']).to_owned();
    if text.is_empty() {
        return Err(Usage("the password is empty".to_owned()).into());
    }
    Ok(text)
}

/// A terminal that does not echo, until dropped.
struct Quiet<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Quiet<'a> {
    fn begin(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &quiet)?;
        Ok(Quiet { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_read_without_its_end() {
        assert_eq!(line(&b"correct horse\r\nmore"[..]).unwrap(), "correct horse");
        assert_eq!(line(&b" kept "[..]).unwrap(), " kept ");
        for (wrong, told) in [(&b"\n"[..], "is empty"), (b"\xff\xfe\n", "is not UTF-8")] {
            let error = line(wrong).unwrap_err();
            assert!(error.is::<Usage>() && error.to_string().contains(told), "{error}");
        }
    }
}
