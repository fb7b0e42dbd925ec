//! Bugs on purpose, to see whether the tests find them (`tests/planted.rs`). Only in builds with `--cfg monolite_planted`,
//! where `MONOLITE_PLANTED` names one; in any other, `planted!("..")` is the word `false` and this module is empty.

/// Whether a bug is planted.
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
pub(crate) fn is(name: &str) -> bool {
    static PLANTED: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    PLANTED.get_or_init(|| std::env::var("MONOLITE_PLANTED").ok()).as_deref() == Some(name)
}
