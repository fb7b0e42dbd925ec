CREATE TABLE items (
    id      BLOB PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE,
    stock   INTEGER NOT NULL CHECK (stock >= 0),
    version INTEGER NOT NULL DEFAULT 1
) STRICT;
