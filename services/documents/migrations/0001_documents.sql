-- Documents. Rowids (seq) stay in this file: they order the words' index and never leave the service.
CREATE TABLE documents (
    seq        INTEGER PRIMARY KEY,
    id         BLOB NOT NULL,
    owner_id   BLOB NOT NULL,
    key        TEXT,
    title      TEXT,
    version    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    body       TEXT NOT NULL -- last, so that lists never touch the pages of a large one
) STRICT;
CREATE UNIQUE INDEX documents_id ON documents (id);
CREATE INDEX documents_owner ON documents (owner_id, id);
CREATE UNIQUE INDEX documents_key ON documents (owner_id, key) WHERE key IS NOT NULL;

-- The words of titles and bodies. Each word is written with six characters of its owner before it, so one owner's words
-- lie together and a search never walks another's. The program folds the words itself: "ascii" leaves them as they are.
CREATE VIRTUAL TABLE words USING fts5 (title, body, content = '', contentless_delete = 1, tokenize = 'ascii');

-- The words of titles, for suggestions. level is the binary logarithm of uses: it seldom changes, and walking it from
-- the top finds the frequent words of any prefix in a few steps. Most words are rare: level 0 needs no second index.
CREATE TABLE terms (
    owner_id BLOB NOT NULL,
    term     TEXT NOT NULL,
    uses     INTEGER NOT NULL,
    level    INTEGER NOT NULL,
    PRIMARY KEY (owner_id, term)
) STRICT, WITHOUT ROWID;
CREATE INDEX terms_level ON terms (owner_id, level, term) WHERE level > 0;
