//! The rigs over a store with one bug on purpose, named by the environment variable `MONOLITE_PLANTED`; none is named for a
//! control run. `monolite-faults planted` builds and runs it.

fn main() -> std::process::ExitCode {
    #[cfg(monolite_planted)]
    if let Ok(name) = std::env::var("MONOLITE_PLANTED") {
        monolite_store::planted::plant(name.leak());
    }
    #[cfg(not(monolite_planted))]
    if std::env::var_os("MONOLITE_PLANTED").is_some() {
        eprintln!("this build has no planted bugs; run `monolite-faults planted`");
        return std::process::ExitCode::from(2);
    }
    monolite_faults::run()
}
