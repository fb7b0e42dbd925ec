-- Every authenticated request finds its session here by the SHA-256 of its token: the row is the key's leaf.
CREATE TABLE sessions(
  token_hash          BLOB    NOT NULL PRIMARY KEY CHECK(length(token_hash) = 32),
  id                  BLOB    NOT NULL CHECK(length(id) = 16),
  user_id             BLOB    NOT NULL CHECK(length(user_id) = 16),
  credentials_version INTEGER NOT NULL,
  last_seen_at        INTEGER NOT NULL,
  expires_at          INTEGER NOT NULL,
  created_at          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX sessions_by_id ON sessions(id);
-- Ids ascend with time, so this lists a user's sessions in the order they began.
CREATE INDEX sessions_of_user ON sessions(user_id, id);
