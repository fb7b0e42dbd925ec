//! The executable `monolite-bench`; see the library's page.

fn main() -> std::process::ExitCode {
    monolite_bench::run()
}
