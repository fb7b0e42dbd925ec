//! `sign-in`: a session for a script.

use monolite::{Context, Result, Usage, Verb, password};

/// Sign in and print the session's bearer token
///
/// Through the running server where one runs on the data folder.
#[derive(Debug, clap::Args)]
pub(crate) struct SignIn {
    /// Who signs in
    #[arg(long, value_name = "EMAIL")]
    email: String,
    /// Print the token, and nothing else
    #[arg(long)]
    print_token: bool,
    /// Read the password from the first line of stdin
    #[arg(long)]
    password_stdin: bool,
}

impl Verb for SignIn {
    const NAME: &'static str = "sign-in";

    fn run(self, context: &Context) -> Result {
        let out = context.output();
        if !self.print_token && !out.is_json() {
            return Err(Usage("the token is shown only once: say --print-token or --json".to_owned()).into());
        }
        let password = password(&format!("Password for {}", self.email), self.password_stdin)?;
        let signed_in =
            context.link()?.call(monolite_sessions::SignIn { email: self.email, password: password.into() })?;
        if out.is_json() { out.json(&signed_in) } else { out.line(signed_in.token.expose()) }
    }
}
