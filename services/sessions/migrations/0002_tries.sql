-- Buckets of sign-in tries: when each is full again. One that is full has no row.
CREATE TABLE tries(
  key     BLOB    NOT NULL PRIMARY KEY CHECK(length(key) BETWEEN 1 AND 33),
  full_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Where each account has signed in from, both as hashes.
CREATE TABLE places(
  account BLOB    NOT NULL CHECK(length(account) = 16),
  address BLOB    NOT NULL CHECK(length(address) = 16),
  seen_at INTEGER NOT NULL,
  PRIMARY KEY (account, address)
) STRICT, WITHOUT ROWID;
