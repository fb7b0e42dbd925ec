-- The bucket of old passwords shown wrongly: when it is full again. NULL is full.
ALTER TABLE passwords ADD COLUMN tries_full_at INTEGER;
