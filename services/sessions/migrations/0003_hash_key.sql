-- The key under which accounts and addresses are hashed.
CREATE TABLE hash_key(
  one INTEGER NOT NULL PRIMARY KEY CHECK(one = 1),
  key BLOB    NOT NULL CHECK(length(key) = 32)
) STRICT;
INSERT INTO hash_key(one, key) VALUES (1, randomblob(32));

-- What was hashed without it, is hashed so no more.
DELETE FROM tries;
DELETE FROM places;

-- Places that nobody signed in from for long are removed in the order of their age.
CREATE INDEX places_by_age ON places(seen_at);
