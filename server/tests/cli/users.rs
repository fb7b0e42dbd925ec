//! `users create` and `sign-in`, beside a running server and without one.

use crate::world::{PASSWORD, World};

#[test]
fn the_first_admin_is_made_before_or_while_a_server_runs() {
    let world = World::new();
    let before = world.admin("ann@example.org");
    let server = world.serve();
    assert_eq!(server.get("/api/v1/sessions/current", &before).0, 200);
    let meanwhile = world.admin("bob@example.org");
    assert_eq!(server.get("/api/v1/users", &meanwhile).0, 200);
    server.stop();
    assert_eq!(world.value("Users", "SELECT count(*) FROM users WHERE role = 'admin'"), 2);
}

#[test]
fn what_users_refuses_is_said_the_same_way_with_and_without_a_server() {
    let world = World::new();
    world.admin("ann@example.org");
    let tries = |world: &World| {
        let create = |email, password| {
            world.run_with(&["users", "create", "--email", email, "--password-stdin"], password).bad(1, &[]).said
        };
        let sign_in = ["sign-in", "--email", "ann@example.org", "--print-token", "--password-stdin"];
        [
            create("ANN@example.org", PASSWORD),
            create("bob@example.org", "short"),
            create("nobody", PASSWORD),
            world.run_with(&sign_in, "correct horse batterx").bad(1, &[]).said,
        ]
    };
    let stopped = tries(&world);
    let server = world.serve();
    let running = tries(&world);
    assert_eq!(stopped, running);
    let parts = ["taken", "12", "@", "wrong"];
    assert!(running.iter().zip(parts).all(|(said, part)| said.contains(part)), "{running:?}");
    server.stop();
    assert_eq!(world.value("Users", "SELECT count(*) FROM users"), 1);
}

#[test]
fn a_password_is_not_asked_for_where_nobody_can_type() {
    let world = World::new();
    let create = ["users", "create", "--email", "ann@example.org"];
    // `setsid`: without a controlling terminal, wherever the tests run.
    let mut command = std::process::Command::new("setsid");
    command.arg("-w").arg(env!("CARGO_BIN_EXE_monolite")).args(create).arg("--data").arg(world.data());
    crate::world::Ran::of(command.stdin(std::process::Stdio::null()).output().unwrap()).bad(2, &["--password-stdin"]);
    world.run_with(&["users", "create", "--email", "a@b.example", "--password-stdin"], "").bad(2, &["empty"]);
    world.run_with(&["sign-in", "--email", "a@b.example", "--password-stdin"], PASSWORD).bad(2, &["--print-token"]);
}
