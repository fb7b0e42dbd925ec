CREATE TABLE system_settings(
  key        TEXT    NOT NULL PRIMARY KEY,
  value      TEXT    NOT NULL CHECK(json_valid(value)),
  version    INTEGER NOT NULL,
  changed_at INTEGER NOT NULL,
  changed_by BLOB
) STRICT, WITHOUT ROWID;

CREATE TABLE user_settings(
  user_id    BLOB    NOT NULL CHECK(length(user_id) = 16),
  key        TEXT    NOT NULL,
  value      TEXT    NOT NULL CHECK(json_valid(value)),
  version    INTEGER NOT NULL,
  changed_at INTEGER NOT NULL,
  PRIMARY KEY(user_id, key)
) STRICT, WITHOUT ROWID;

-- The last version given to any value. One count for all, so that a version names one value of one row and nothing else.
CREATE TABLE versions(
  only INTEGER NOT NULL PRIMARY KEY CHECK(only = 1),
  last INTEGER NOT NULL
) STRICT;
INSERT INTO versions(only, last) VALUES (1, 0);
