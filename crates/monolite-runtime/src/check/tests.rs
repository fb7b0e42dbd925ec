use super::*;
use monolite_service::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct Add {
    title: String,
}
message!(Add => Added);
#[derive(Serialize, Deserialize, JsonSchema)]
struct Added {
    id: Uuid,
}
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct Show {
    id: Uuid,
}
message!(Show => Blob);
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct List {
    limit: Option<u32>,
    page: PageOf,
}
message!(List => ());
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
struct Film {
    id: Uuid,
}
message!(Film => LargeBlob);

fn add(_: &Tx, _: Add) -> Outcome<Add> {
    Err(Refused::stale().into())
}
fn add_file(_: &Tx, _: Add, _: Bytes) -> Outcome<Add> {
    Err(Refused::stale().into())
}
fn show(_: &Snapshot, _: &Show) -> Outcome<Show> {
    Err(Refused::stale().into())
}
async fn receive(_: Flow, _: Add, _: Upload) -> Outcome<Add> {
    Err(Refused::stale().into())
}
fn film(_: &Snapshot, _: &Film) -> Outcome<Film> {
    Err(Refused::stale().into())
}
fn list(_: &Snapshot, _: &List) -> Outcome<List> {
    Ok(())
}

fn notes() -> Service {
    Service::new("Notes", Migrations::default())
}

#[track_caller]
fn refused(services: &[Service], because: &str) {
    let error = check(services).unwrap_err().to_string();
    assert!(error.contains(because), "{error}");
}

#[test]
fn a_sound_assembly_passes() {
    let service = notes().write(add).at(POST, "/notes", SignedIn).creates("/notes/{id}");
    let service = service.read(show).at(GET, "/notes/{id}/image", Anyone).streams().slow();
    check(&[service, Service::new("Notes2", Migrations::default())]).unwrap();
}

#[test]
fn duplicate_names_are_refused() {
    refused(&[notes(), Service::new("notes", Migrations::default())], "two services");
    refused(&[notes().write(add).write(add)], "message Add: two handlers");
    let other = Service::new("Other", Migrations::default()).write(add);
    refused(&[notes().write(add), other], "a handler already, as Notes.Add");
    refused(&[Service::new("../x", Migrations::default())], "a letter");
}

#[test]
fn duplicate_routes_are_refused() {
    let twice = notes().write(add).at(POST, "/notes", SignedIn).at(POST, "/notes", Anyone);
    refused(&[twice], "Notes.Add is served there already");
    let alike =
        notes().read(show).at(GET, "/notes/{id}", Anyone).streams().write(add).at(PUT, "/notes/{title}", Anyone);
    refused(&[alike], "/notes/{id} is the same path with other names");
}

#[test]
fn paths_name_fields_once() {
    refused(&[notes().read(show).at(GET, "/notes/{key}", Anyone).streams()], "Show has no field `key`");
    refused(&[notes().read(show).at(GET, "/notes/{id}/{id}", Anyone).streams()], "twice in the path");
    refused(&[notes().read(show).at(GET, "/notes/x{id}", Anyone).streams()], "not a name in braces");
    refused(&[notes().read(show).at(GET, "notes", Anyone).streams()], "begins with a slash");
    refused(&[notes().read(list).at(GET, "/notes", Anyone)], "`limit` is that of `page` too");
}

#[test]
fn words_fit_their_handlers() {
    refused(&[notes().write(add).upload(mib(1))], "needs a handler fn(&Tx, M, Bytes)");
    refused(&[notes().write(add_file).at(POST, "/notes", Anyone)], "needs upload(limit)");
    refused(&[notes().write(add).streams()], "needs a reply that is a Blob");
    refused(&[notes().read(show).at(GET, "/notes/{id}", Anyone)], "needs streams()");
    refused(&[notes().receive(receive).at(PUT, "/notes", Anyone)], "needs upload(limit)");
    refused(&[notes().read(film).at(GET, "/notes/{id}", Anyone)], "needs streams()");
    check(&[notes().receive(receive).upload(gib(16)).read(film).at(GET, "/films/{id}", Anyone).streams()]).unwrap();
    refused(&[notes().write(add).slow()], "slow() is for reads");
    refused(&[notes().write(add).creates("/notes/{key}")], "the reply has no field `key`");
    refused(&[notes().read(show).creates("/notes/{id}")], "creates() is for writes");
    refused(&[notes().every(seconds(1), Add { title: "x".into() })], "nobody handles it");
    check(&[notes().every(seconds(1), Add { title: "x".into() }), Service::new("B", Migrations::default()).write(add)])
        .unwrap();
    refused(&[notes().every(seconds(0), Add { title: "x".into() })], "a period of zero");
}
