-- What happened, for `msb events`; `body` is JSON.
CREATE TABLE event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, project_id TEXT REFERENCES project,
    address TEXT, kind TEXT NOT NULL, body TEXT NOT NULL
);
CREATE INDEX event_project ON event (project_id, seq);
CREATE INDEX event_at ON event (at);
-- A key that is looked for stands apart from the text it leads to.
CREATE TABLE definition_by_digest (digest TEXT PRIMARY KEY, schema INTEGER NOT NULL, body TEXT NOT NULL);
INSERT INTO definition_by_digest SELECT digest, schema, body FROM definition;
DROP TABLE definition;
ALTER TABLE definition_by_digest RENAME TO definition;
-- Which record the row was read from, once the machine has ended.
ALTER TABLE machine ADD COLUMN stamp TEXT;
-- Two machines of one sandbox are rare, and looked for by every command.
CREATE INDEX machine_previous ON machine (sandbox_id) WHERE role = 'previous';
-- What a definition's `ignore-drift` names, as a JSON array of fields.
ALTER TABLE sandbox ADD COLUMN ignored TEXT NOT NULL DEFAULT '[]';
CREATE INDEX sandbox_ignored ON sandbox (project_id) WHERE ignored <> '[]';
-- What belongs to a row, and what names one, is found without a look at everybody else's.
CREATE INDEX sandbox_desired ON sandbox (desired) WHERE desired IS NOT NULL;
CREATE INDEX sandbox_applied ON sandbox (applied) WHERE applied IS NOT NULL;
CREATE INDEX port_sandbox ON port (sandbox_id);
CREATE INDEX volume_use_sandbox ON volume_use (sandbox_id);
CREATE INDEX volume_trash ON volume (trashed_at) WHERE trashed_at IS NOT NULL;
CREATE INDEX run_open ON run (project_id) WHERE ended_at IS NULL;
CREATE INDEX op_run ON op (run_id);
