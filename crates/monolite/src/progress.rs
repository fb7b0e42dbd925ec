//! Progress of long work, on stderr; nothing without a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a bar is drawn at most, per second.
const DRAWS_PER_SECOND: u8 = 10;

/// A bar. Dropping it takes it off the screen.
pub struct Progress(ProgressBar);

impl Progress {
    /// Of so many bytes, with rate and time left; without a length, a count with its rate.
    pub fn bytes(length: Option<u64>) -> Self {
        Self::styled(
            length,
            "{msg} {bytes}/{total_bytes} [{bar:30}] {binary_bytes_per_sec}, {eta} left",
            "{msg} {bytes} {binary_bytes_per_sec}",
        )
    }

    /// Of so many steps.
    pub fn steps(length: u64) -> Self {
        Self::styled(Some(length), "{msg} {percent}% [{bar:30}] {eta} left", "{msg}")
    }

    fn styled(length: Option<u64>, known: &str, open: &str) -> Self {
        let template = if length.is_some() { known } else { open };
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND));
        bar.set_style(
            ProgressStyle::with_template(template).expect("the templates above are well formed").progress_chars("=> "),
        );
        Progress(bar)
    }

    /// Where the work stands.
    pub fn at(&self, position: u64) {
        self.0.set_position(position);
    }

    /// How much there is, once it is known.
    pub fn of(&self, length: u64) {
        self.0.set_length(length);
    }

    /// What is being done.
    pub fn doing(&self, what: impl Into<std::borrow::Cow<'static, str>>) {
        self.0.set_message(what);
    }

    /// Prints a line above the bar, to stderr.
    pub fn note(&self, text: &str) {
        self.0.suspend(|| crate::output::note(text));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
