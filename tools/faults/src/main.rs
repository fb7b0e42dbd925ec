//! The executable `monolite-faults`; see the library's page.

fn main() -> std::process::ExitCode {
    monolite_faults::run()
}
