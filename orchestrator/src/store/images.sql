-- Images: which name means which manifest, and what it is made of.
CREATE TABLE root (
    digest TEXT PRIMARY KEY, file TEXT NOT NULL, bytes_apparent INTEGER NOT NULL, bytes_on_disk INTEGER NOT NULL,
    writer INTEGER NOT NULL, built_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE manifest (
    digest TEXT PRIMARY KEY, config TEXT NOT NULL, platform TEXT NOT NULL, bytes INTEGER NOT NULL,
    root TEXT NOT NULL, created_at TEXT, body TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE image_ref (
    reference TEXT PRIMARY KEY, manifest TEXT NOT NULL REFERENCES manifest, pulled_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX image_ref_manifest ON image_ref (manifest);
-- Archives that were loaded, so that the same file is not read again.
CREATE TABLE archive (id INTEGER PRIMARY KEY AUTOINCREMENT, identity TEXT NOT NULL UNIQUE, held TEXT NOT NULL);
CREATE TABLE blob (digest TEXT PRIMARY KEY, bytes INTEGER NOT NULL, verified_at TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE manifest_blob (
    manifest TEXT NOT NULL REFERENCES manifest ON DELETE CASCADE, position INTEGER NOT NULL,
    blob TEXT NOT NULL REFERENCES blob, media_type TEXT NOT NULL, diff_id TEXT NOT NULL,
    PRIMARY KEY (manifest, position)
) WITHOUT ROWID;
