CREATE TABLE recipes (
    id       BLOB PRIMARY KEY,
    owner_id BLOB NOT NULL,
    title    TEXT NOT NULL,
    servings INTEGER NOT NULL,
    UNIQUE (owner_id, title)
) STRICT;
CREATE INDEX recipes_title ON recipes (title, id);

CREATE TABLE ingredients (
    recipe_id BLOB NOT NULL REFERENCES recipes ON DELETE CASCADE,
    position  INTEGER NOT NULL,
    name      TEXT NOT NULL,
    grams     REAL NOT NULL,
    PRIMARY KEY (recipe_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE favourites (
    user_id   BLOB NOT NULL,
    recipe_id BLOB NOT NULL REFERENCES recipes ON DELETE CASCADE,
    PRIMARY KEY (user_id, recipe_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX favourites_recipe ON favourites (recipe_id);

CREATE TABLE images (
    id           BLOB PRIMARY KEY REFERENCES recipes ON DELETE CASCADE,
    content_type TEXT NOT NULL,
    bytes        BLOB NOT NULL,
    version      INTEGER NOT NULL
) STRICT;
