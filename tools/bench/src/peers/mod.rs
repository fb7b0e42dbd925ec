//! The peers: PostgreSQL, PocketBase, and the usual ways to use SQLite from async Rust.

pub(crate) mod actor;
pub(crate) mod pocketbase;
pub(crate) mod postgres;
pub(crate) mod sqlite;

#[cfg(test)]
mod tests {
    use super::{actor::Actor, postgres::Postgres, sqlite::Pool, sqlite::Sqlite};
    use crate::{place::Place, table};
    use std::path::Path;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn every_way_of_using_sqlite_reads_and_writes_the_same_rows() {
        let place = Place::new(Path::new("/var/tmp")).expect("the folder can be made");
        let sqlite = Sqlite::new(place.join("peer.db"), 1000).expect("the file can be filled");
        let pool = Pool::new(&sqlite, 2).expect("connections open");
        let actor = Actor::new(sqlite.warm().expect("a connection opens")).expect("the thread starts");
        assert_eq!(pool.clone().read(17).await.expect("reads"), 17 + 17 + 80);
        let changed = actor.clone().call(|c| c.execute(table::UPDATE, [17])).await.expect("updates");
        assert_eq!(changed, 1);
        assert_eq!(pool.read(17).await.expect("reads"), 17 + 18 + 80);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres_answers_what_sqlite_answers_or_says_what_is_missing() {
        let place = Place::new(Path::new("/var/tmp")).expect("the folder can be made");
        let postgres = match Postgres::start(&place, 1000).await {
            Ok(postgres) => postgres,
            Err(why) => return assert!(why.to_string().contains("PostgreSQL"), "{why:#}"),
        };
        let sessions = postgres.sessions(3).await.expect("connects");
        assert_eq!(sessions.len(), 3);
        assert_eq!(sessions[0].clone().read(17).await.expect("reads"), 17 + 17 + 80);
        sessions[1].clone().update(17).await.expect("updates");
        assert_eq!(sessions[2].clone().read(17).await.expect("reads"), 17 + 18 + 80);
    }
}
