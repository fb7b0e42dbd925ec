CREATE TABLE files (
    id           BLOB PRIMARY KEY,
    owner_id     BLOB NOT NULL,
    name         TEXT NOT NULL,
    content_type TEXT NOT NULL, -- as the client said it
    size         INTEGER, -- as the client declared it; of a complete file its length
    expected     BLOB, -- the SHA-256 that the client declared
    received     INTEGER NOT NULL,
    complete     INTEGER NOT NULL CHECK (complete IN (0, 1)),
    hash         BLOB NOT NULL, -- the running state over what was received; of a complete file its SHA-256
    value        INTEGER NOT NULL UNIQUE, -- the number of its content in pieces
    created_at   INTEGER NOT NULL,
    touched_at   INTEGER NOT NULL -- when something of it was received last
) STRICT;
CREATE INDEX files_owner ON files (owner_id, id);
CREATE INDEX files_unfinished ON files (owner_id, size, received) WHERE complete = 0;
CREATE INDEX files_untouched ON files (touched_at) WHERE complete = 0;

-- The contents: piece n of value v is the row v * 262144 + n; 64 KiB each but for the last of a value.
CREATE TABLE pieces (at INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;

-- The next number of a value. None is used twice, so that a reader never meets another content than it began.
CREATE TABLE numbers (one INTEGER PRIMARY KEY CHECK (one = 1), next INTEGER NOT NULL) STRICT;
INSERT INTO numbers VALUES (1, 1);

-- Values that no file has any more; their pieces are removed a few at a time.
CREATE TABLE removals (value INTEGER PRIMARY KEY) STRICT;
