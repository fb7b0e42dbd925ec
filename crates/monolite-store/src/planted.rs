//! Bugs on purpose, to see whether the fault rigs find them (docs/operate/faults.md). Only in builds with
//! `--cfg monolite_planted`; in any other, `planted!("..")` is the word `false` and this module is empty.
//!
//! **Invariants**
//! - One bug at a time, chosen before the first store is opened: by `plant`, else by the environment's `MONOLITE_PLANTED`, so that
//!   a server built so has it too.

/// Whether a bug is planted; for the workspace's own crates.
#[doc(hidden)]
#[macro_export]
macro_rules! planted {
    ($name:literal) => {{
        #[cfg(monolite_planted)]
        let here = $crate::planted::is($name);
        #[cfg(not(monolite_planted))]
        let here = false;
        here
    }};
}
pub(crate) use planted;

#[cfg(monolite_planted)]
static PLANTED: std::sync::OnceLock<Option<&'static str>> = std::sync::OnceLock::new();

/// Plants a bug for the life of the process.
///
/// # Panics
/// Where another is planted already.
#[cfg(monolite_planted)]
pub fn plant(name: &'static str) {
    assert!(PLANTED.set(Some(name)).is_ok(), "one bug at a time");
}

#[cfg(monolite_planted)]
/// Whether this one is planted.
pub fn is(name: &str) -> bool {
    *PLANTED.get_or_init(|| std::env::var("MONOLITE_PLANTED").ok().map(|name| &*name.leak())) == Some(name)
}

/// True at each n-th call.
#[cfg(monolite_planted)]
pub(crate) fn each(n: u64) -> bool {
    static CALLS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % n == n - 1
}
