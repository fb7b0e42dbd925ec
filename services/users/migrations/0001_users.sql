-- The hot columns of an account (role, disabled_at, credentials_version) come first: every authenticated request reads them.
CREATE TABLE users(
  id                  BLOB    NOT NULL PRIMARY KEY CHECK(length(id) = 16),
  role                TEXT    NOT NULL CHECK(role IN ('admin', 'member')),
  disabled_at         INTEGER,
  credentials_version INTEGER NOT NULL DEFAULT 1,
  version             INTEGER NOT NULL DEFAULT 1,
  email               TEXT    NOT NULL COLLATE NOCASE UNIQUE,
  name                TEXT    NOT NULL,
  created_at          INTEGER NOT NULL,
  changed_at          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The last active admin is never locked out: this index answers who else is one.
CREATE INDEX users_active_admins ON users(id) WHERE role = 'admin' AND disabled_at IS NULL;

-- Apart from users, so that no list, export or slip of a SELECT meets a hash.
CREATE TABLE passwords(
  user_id BLOB NOT NULL PRIMARY KEY REFERENCES users(id) ON DELETE CASCADE,
  hash    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
