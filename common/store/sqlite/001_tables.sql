-- lockstep's own tables, version 1. Times are ms since 1970, UTC.
CREATE TABLE lockstep_schema (
    version      INTEGER NOT NULL,
    installed_at INTEGER NOT NULL,
    journal_mode TEXT NOT NULL           -- of the database before lockstep came
);

-- The last generation given to a mark. Never reused.
CREATE TABLE lockstep_sequence (value INTEGER NOT NULL);
INSERT INTO lockstep_sequence VALUES (0);

CREATE TABLE lockstep_sync (
    account     TEXT NOT NULL,
    entity      TEXT NOT NULL,
    name        TEXT NOT NULL,
    state       TEXT NOT NULL DEFAULT 'observe' CHECK (state IN ('observe', 'active', 'stopped')),
    started_at  INTEGER,
    synced_at   INTEGER,
    verified_at INTEGER,
    PRIMARY KEY (account, entity)
) WITHOUT ROWID;

-- One row a record: which local row is which remote object, and what both sides last agreed on (base).
CREATE TABLE lockstep_link (
    id              INTEGER PRIMARY KEY,
    account         TEXT NOT NULL,
    entity          TEXT NOT NULL,
    uid             TEXT NOT NULL,
    local_id        TEXT,
    remote_id       TEXT,
    state           TEXT NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'linked', 'parked', 'tomb')),
    token           INTEGER NOT NULL DEFAULT 0, -- fence of the claim that may commit
    base_gen        INTEGER NOT NULL DEFAULT 0, -- grows with each change of the base
    base_hash       TEXT,
    remote_version  TEXT,
    deleted_version TEXT,
    created_at      INTEGER NOT NULL,
    changed_at      INTEGER,                    -- last known change of the local row
    synced_at       INTEGER,
    verified_at     INTEGER,
    deleted_at      INTEGER,
    seen_gen        INTEGER,                    -- last complete scan that saw the remote object
    dead            INTEGER NOT NULL DEFAULT 0, -- its job is a dead letter
    error           TEXT,
    base_json       TEXT
);
CREATE UNIQUE INDEX lockstep_link_uid ON lockstep_link (account, entity, uid);
CREATE UNIQUE INDEX lockstep_link_local ON lockstep_link (account, entity, local_id);
CREATE UNIQUE INDEX lockstep_link_remote ON lockstep_link (account, entity, remote_id);
CREATE INDEX lockstep_link_state ON lockstep_link (account, entity, state);
CREATE INDEX lockstep_link_dead ON lockstep_link (account, entity) WHERE dead = 1;

-- What may have changed since the sides last agreed: side 'l' ref = local id, side 'r' ref = remote id.
CREATE TABLE lockstep_dirty (
    account    TEXT NOT NULL,
    entity     TEXT NOT NULL,
    side       TEXT NOT NULL CHECK (side IN ('l', 'r')),
    ref        TEXT NOT NULL,
    gen        INTEGER NOT NULL,
    first_at   INTEGER NOT NULL,           -- when the oldest unsynced change happened
    origin     TEXT NOT NULL,              -- 'trigger', 'remote', 'scan', 'own'
    high       INTEGER NOT NULL DEFAULT 0, -- 2 raised by the application, 1 high, 0 normal, -1 low lane
    pushed_gen INTEGER,                    -- generation that the queue knows of
    pushed_at  INTEGER,
    PRIMARY KEY (account, entity, side, ref)
) WITHOUT ROWID;
CREATE INDEX lockstep_dirty_due ON lockstep_dirty (account, entity, high DESC, first_at) WHERE pushed_gen IS NOT gen;
CREATE INDEX lockstep_dirty_pushed ON lockstep_dirty (account, entity, pushed_at) WHERE pushed_gen IS gen;

-- Rows that a REPLACE may be about to remove without telling anybody; looked at after the statement.
CREATE TABLE lockstep_suspect (
    account TEXT NOT NULL,
    entity  TEXT NOT NULL,
    ref     TEXT NOT NULL,
    PRIMARY KEY (account, entity, ref)
) WITHOUT ROWID;

CREATE TABLE lockstep_cursor (
    account   TEXT NOT NULL,
    entity    TEXT NOT NULL,
    partition TEXT NOT NULL,
    identity  TEXT NOT NULL,
    value     TEXT,
    stored_at INTEGER NOT NULL,
    PRIMARY KEY (account, entity, partition)
) WITHOUT ROWID;

-- Remote writes: begun before the first byte leaves.
CREATE TABLE lockstep_op (
    op_key      TEXT NOT NULL PRIMARY KEY,
    link        INTEGER NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('create', 'update', 'delete')),
    state       TEXT NOT NULL CHECK (state IN ('sent', 'ok', 'rejected', 'retry', 'unknown', 'superseded')),
    target_hash TEXT NOT NULL,
    token       INTEGER NOT NULL,
    attempts    INTEGER NOT NULL DEFAULT 0,
    first_at    INTEGER NOT NULL,
    last_at     INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX lockstep_op_open ON lockstep_op (link) WHERE state IN ('sent', 'retry', 'unknown');
CREATE INDEX lockstep_op_last ON lockstep_op (last_at);

-- Echo ledger: hashes of writes that never ended.
CREATE TABLE lockstep_sent (
    link    INTEGER NOT NULL,
    op_key  TEXT NOT NULL,
    hash    TEXT NOT NULL,
    sent_at INTEGER NOT NULL,
    PRIMARY KEY (link, op_key)
) WITHOUT ROWID;
CREATE INDEX lockstep_sent_at ON lockstep_sent (sent_at);

CREATE TABLE lockstep_conflict (
    id        INTEGER PRIMARY KEY,
    link      INTEGER NOT NULL,
    field     TEXT NOT NULL,
    base      TEXT,
    local     TEXT,
    remote    TEXT,
    opened_at INTEGER NOT NULL,
    closed_at INTEGER
);
CREATE UNIQUE INDEX lockstep_conflict_open ON lockstep_conflict (link, field) WHERE closed_at IS NULL;
CREATE INDEX lockstep_conflict_closed ON lockstep_conflict (closed_at) WHERE closed_at IS NOT NULL;

CREATE TABLE lockstep_audit (
    seq       INTEGER PRIMARY KEY,
    at        INTEGER NOT NULL,
    link      INTEGER NOT NULL,
    uid       TEXT NOT NULL,
    row       INTEGER NOT NULL,                                           -- of the decision table
    dir       TEXT NOT NULL CHECK (dir IN ('local', 'remote', 'link')),   -- where it was written
    field     TEXT NOT NULL,
    old_value TEXT,
    new_value TEXT,
    op_key    TEXT
);
CREATE INDEX lockstep_audit_link ON lockstep_audit (link, at);

CREATE TABLE lockstep_run (
    id         INTEGER PRIMARY KEY,
    account    TEXT NOT NULL,
    entity     TEXT NOT NULL,
    kind       TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER,
    stats      TEXT
);
CREATE INDEX lockstep_run_sync ON lockstep_run (account, entity, started_at);

-- Deletes that wait for somebody to allow them.
CREATE TABLE lockstep_gate (
    link    INTEGER NOT NULL PRIMARY KEY,
    side    TEXT NOT NULL CHECK (side IN ('l', 'r')),
    reason  TEXT,
    held_at INTEGER NOT NULL,
    acked_at INTEGER
);
