//! Where a test may end the process as a kill would.
//!
//! **Invariants**
//! - Not in release builds.

/// Ends the process here, where `MONOLITE_TEST_DIE_AT` names this step.
#[cfg(debug_assertions)]
pub(super) fn here(step: &str) {
    if std::env::var_os("MONOLITE_TEST_DIE_AT").is_some_and(|at| at == step) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}

#[cfg(not(debug_assertions))]
pub(super) fn here(_: &str) {}
