//! The cookbook: recipes, and users who sign in.

use monolite::App;
use std::process::ExitCode;

fn main() -> ExitCode {
    let users = monolite_users::Config { open_registration: true, ..Default::default() };
    App::new("cookbook")
        .service(monolite_recipes::service())
        .service(monolite_users::service(users))
        .service(monolite_sessions::service(Default::default()))
        .authenticate(monolite_sessions::bearer())
        .run()
}
