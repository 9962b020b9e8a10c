-- What msb remembers. Times are RFC 3339, UTC, milliseconds; digests are hexadecimal.
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE project (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, folder TEXT NOT NULL, files TEXT NOT NULL DEFAULT '[]',
    git_remote TEXT, generation INTEGER NOT NULL DEFAULT 0, paused INTEGER NOT NULL DEFAULT 0, pause_reason TEXT,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE definition (digest TEXT PRIMARY KEY, schema INTEGER NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE sandbox (
    id TEXT PRIMARY KEY, project_id TEXT NOT NULL REFERENCES project, name TEXT NOT NULL,
    instance TEXT NOT NULL DEFAULT '', kind TEXT NOT NULL CHECK (kind IN ('service', 'job')),
    desired TEXT REFERENCES definition, applied TEXT REFERENCES definition, slot TEXT,
    generation INTEGER NOT NULL DEFAULT 0, observed INTEGER NOT NULL DEFAULT 0 CHECK (observed <= generation),
    protect INTEGER NOT NULL DEFAULT 0, keep INTEGER NOT NULL DEFAULT 0, completed_code INTEGER,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
    UNIQUE (project_id, name, instance)
) WITHOUT ROWID;
CREATE TABLE sensitive (
    sandbox_id TEXT NOT NULL REFERENCES sandbox ON DELETE CASCADE, path TEXT NOT NULL, digest TEXT NOT NULL,
    PRIMARY KEY (sandbox_id, path)
) WITHOUT ROWID;
CREATE TABLE machine (
    id TEXT PRIMARY KEY, sandbox_id TEXT NOT NULL REFERENCES sandbox,
    role TEXT NOT NULL CHECK (role IN ('current', 'next', 'previous', 'failed')), nonce TEXT NOT NULL,
    driver TEXT, pid INTEGER, start_ticks INTEGER, boot_id TEXT, phase TEXT NOT NULL, reason TEXT, exit_code INTEGER,
    restarts INTEGER NOT NULL DEFAULT 0, image_digest TEXT, effective TEXT NOT NULL DEFAULT '{}',
    started_at TEXT, ended_at TEXT
) WITHOUT ROWID;
CREATE UNIQUE INDEX machine_current ON machine (sandbox_id) WHERE role = 'current';
CREATE INDEX machine_sandbox ON machine (sandbox_id);
CREATE TABLE port (
    sandbox_id TEXT NOT NULL REFERENCES sandbox ON DELETE CASCADE, protocol TEXT NOT NULL, bind TEXT NOT NULL,
    host INTEGER NOT NULL, guest INTEGER NOT NULL, chosen INTEGER NOT NULL DEFAULT 0,
    UNIQUE (protocol, bind, host)
);
CREATE TABLE label (
    sandbox_id TEXT NOT NULL REFERENCES sandbox ON DELETE CASCADE, key TEXT NOT NULL, value TEXT NOT NULL,
    source TEXT NOT NULL CHECK (source IN ('file', 'image')),
    PRIMARY KEY (sandbox_id, key, source)
) WITHOUT ROWID;
CREATE INDEX label_value ON label (key, value);
CREATE TABLE volume (
    id TEXT PRIMARY KEY, project_id TEXT REFERENCES project, name TEXT NOT NULL, folder TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('dir', 'disk')), size_bytes INTEGER, quota_bytes INTEGER,
    protect INTEGER NOT NULL DEFAULT 0, labels TEXT NOT NULL DEFAULT '{}', created_by TEXT NOT NULL,
    created_at TEXT NOT NULL, trashed_at TEXT, trash_folder TEXT
) WITHOUT ROWID;
CREATE UNIQUE INDEX volume_name ON volume (project_id, name) WHERE trashed_at IS NULL;
CREATE TABLE volume_use (
    volume_id TEXT NOT NULL REFERENCES volume, sandbox_id TEXT NOT NULL REFERENCES sandbox ON DELETE CASCADE,
    destination TEXT NOT NULL, mode TEXT NOT NULL CHECK (mode IN ('ro', 'rw')),
    PRIMARY KEY (volume_id, sandbox_id, destination)
) WITHOUT ROWID;
CREATE TABLE run (
    id INTEGER PRIMARY KEY AUTOINCREMENT, project_id TEXT NOT NULL REFERENCES project, command TEXT NOT NULL,
    actor TEXT NOT NULL, pid INTEGER NOT NULL, start_ticks INTEGER NOT NULL, commit_id TEXT, plan_digest TEXT,
    started_at TEXT NOT NULL, ended_at TEXT, exit_code INTEGER
);
CREATE INDEX run_project ON run (project_id, id);
CREATE TABLE op (
    id INTEGER PRIMARY KEY AUTOINCREMENT, run_id INTEGER NOT NULL REFERENCES run, step TEXT NOT NULL,
    address TEXT NOT NULL, kind TEXT NOT NULL, generation INTEGER NOT NULL, nonce TEXT, intent TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('started', 'done', 'failed', 'settled')), error TEXT,
    started_at TEXT NOT NULL, ended_at TEXT
);
CREATE INDEX op_open ON op (run_id) WHERE state = 'started';
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, actor TEXT NOT NULL, command TEXT NOT NULL,
    address TEXT NOT NULL, path TEXT NOT NULL, before TEXT, after TEXT
);
CREATE INDEX audit_address ON audit (address, id);
