//! The standard executable: the standard services over HTTP, and their commands.
//!
//! **Invariants**
//! - It only puts together what the crates below offer; a program of one's own does the same with other services.

mod commands;
mod demo;

use monolite::App;
use monolite::config::{Config, Value};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    app().run()
}

fn app() -> App {
    let (users, sessions) = (monolite_users::Config::default(), monolite_sessions::Config::default());
    let old = users.old_password;
    let (tries, seconds) = (sessions.tries, |n: u32| Duration::from_secs(n.into()));
    let files = monolite_files::Config::default();
    let largest_file = Value::Bytes(files.bytes_max);
    let app = App::new("monolite")
        .config("users.open_registration", users.open_registration, "Whether anybody may create themselves a user.")
        .bound("users.hash_threads", users.hash_threads as u64, "Threads that hash passwords.")
        .config("users.hash_queue", users.hash_queue as u64, "Passwords that may wait to be hashed.")
        .config("users.old_password_tries", u64::from(old.tries), "Wrong old passwords of one user, at once.")
        .config("users.old_password_refill", old.refill, "One more after each such time.")
        .config("sessions.account_tries", u64::from(tries.account.tries), "Wrong sign-ins for one account, at once.")
        .config("sessions.account_refill", tries.account.refill, "One more for the account after each such time.")
        .config("sessions.address_tries", u64::from(tries.address.tries), "Wrong sign-ins from one address, at once.")
        .config("sessions.address_refill", tries.address.refill, "One more from the address after each such time.")
        .config("sessions.all_tries", u64::from(tries.all.tries), "Wrong sign-ins in all, at once.")
        .config("sessions.all_refill", tries.all.refill, "One more in all after each such time.")
        .bound("sessions.per_user_max", u64::from(sessions.per_user_max), "Sessions of one user.")
        .config("sessions.touches_max", sessions.touches_max as u64, "Uses of sessions that wait to be written.")
        .config("sessions.idle", seconds(sessions.idle_seconds), "A session not used for so long has ended.")
        .config("sessions.absolute", seconds(sessions.absolute_seconds), "A session ends after so long.")
        .config("documents.bytes_max", Value::Bytes(monolite_documents::DOCUMENT_BYTES_MAX), "The largest document.")
        .config_to("files.bytes_max", largest_file.clone(), largest_file, "The largest file, 16 GiB at most.")
        .bound("files.unfinished_max", u64::from(files.unfinished_max), "Unfinished files of one user.")
        .bound("files.unfinished_bytes_max", Value::Bytes(files.unfinished_bytes_max), "Bytes of them together.")
        .config(
            "files.unfinished_time",
            files.unfinished_time,
            "An unfinished file goes so long after its last bytes came.",
        )
        .config("files.upload_time", files.upload_time, "How long one request with a file's content may take.")
        .service_with(|config| monolite_users::service(users_config(config)))
        .service_with(|config| monolite_sessions::service(sessions_config(config)))
        .service(monolite_settings::Declared::new().declare("theme", "light").declare("language", "en").service())
        .service_with(|config| {
            let mut limits = monolite_documents::Limits::default();
            limits.document_bytes_max = config.bytes("documents.bytes_max");
            monolite_documents::service_with(limits)
        })
        .service_with(|config| monolite_files::service_with(files_config(config)))
        .service(monolite_recipes::service())
        .authenticate(monolite_sessions::bearer())
        .first_step("first admin monolite users create --email you@example.org --admin")
        .first_step("demo        /demo")
        .command::<commands::Users>()
        .command::<commands::SignIn>()
        .command::<commands::Import>();
    demo::pages().into_iter().fold(app, App::page)
}

fn users_config(config: &Config) -> monolite_users::Config {
    let old_password = bucket(config, "users.old_password");
    monolite_users::Config {
        old_password,
        open_registration: config.flag("users.open_registration"),
        hash_threads: config.number("users.hash_threads") as usize,
        hash_queue: config.number("users.hash_queue") as usize,
        ..monolite_users::Config::default()
    }
}

fn files_config(config: &Config) -> monolite_files::Config {
    monolite_files::Config {
        bytes_max: config.bytes("files.bytes_max"),
        unfinished_max: u32::try_from(config.number("files.unfinished_max")).unwrap_or(u32::MAX),
        unfinished_bytes_max: config.bytes("files.unfinished_bytes_max"),
        unfinished_time: config.time("files.unfinished_time"),
        upload_time: config.time("files.upload_time"),
    }
}

fn sessions_config(config: &Config) -> monolite_sessions::Config {
    let seconds = |name: &str| u32::try_from(config.time(name).as_secs()).unwrap_or(u32::MAX);
    let bucket = |name: &str| bucket(config, &format!("sessions.{name}"));
    monolite_sessions::Config {
        idle_seconds: seconds("sessions.idle"),
        absolute_seconds: seconds("sessions.absolute"),
        per_user_max: u32::try_from(config.number("sessions.per_user_max")).unwrap_or(u32::MAX),
        touches_max: config.number("sessions.touches_max") as usize,
        tries: monolite_sessions::Tries { account: bucket("account"), address: bucket("address"), all: bucket("all") },
    }
}

fn bucket(config: &Config, name: &str) -> monolite_sessions::Bucket {
    monolite_sessions::Bucket {
        tries: u32::try_from(config.number(&format!("{name}_tries"))).unwrap_or(u32::MAX),
        refill: config.time(&format!("{name}_refill")).max(Duration::from_millis(1)),
    }
}
