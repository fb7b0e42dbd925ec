//! `users`: accounts.

use monolite::{Context, Result, Verb, new_password};
use monolite_users::{CreateUser, Role};

/// Manage users
#[derive(Debug, clap::Args)]
pub(crate) struct Users {
    #[command(subcommand)]
    verb: UsersVerb,
}

#[derive(Debug, clap::Subcommand)]
enum UsersVerb {
    /// Create a user; asks for the password
    Create(Create),
}

#[derive(Debug, clap::Args)]
struct Create {
    /// The address to sign in with
    #[arg(long, value_name = "EMAIL")]
    email: String,
    /// How to call them; the part of the address before the @ if not given
    #[arg(long)]
    name: Option<String>,
    /// Make them an admin
    #[arg(long)]
    admin: bool,
    /// Read the password from the first line of stdin
    #[arg(long)]
    password_stdin: bool,
}

impl Verb for Users {
    const NAME: &'static str = "users";

    fn run(self, context: &Context) -> Result {
        let UsersVerb::Create(create) = self.verb;
        let password =
            new_password(&format!("Password for {} (12 to 128 characters)", create.email), create.password_stdin)?;
        let user = context.link_or_begin()?.call(CreateUser {
            email: create.email,
            password: password.into(),
            name: create.name,
            role: if create.admin { Role::Admin } else { Role::Member },
        })?;
        let out = context.output();
        if out.is_json() {
            return out.json(&user);
        }
        out.line(user.id.to_string())?;
        context.note(format!("created {} as {}", user.email, if create.admin { "an admin" } else { "a member" }));
        Ok(())
    }
}
