-- Every start of the machine that the store has seen; the last one is the present.
CREATE TABLE boot (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL
);
-- What callers keep: bytes by bucket and key.
CREATE TABLE entry (
    bucket TEXT NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (bucket, key)
);
-- Visible blobs and trees. The file is the truth; a row without a file, or a file without a row, is what a crash
-- in the middle left, and is put right by the next reconciliation.
CREATE TABLE object (
    kind INTEGER NOT NULL,
    key BLOB NOT NULL,
    size INTEGER NOT NULL,
    created INTEGER NOT NULL,
    last_used INTEGER NOT NULL,
    uses INTEGER NOT NULL,
    -- 0: known to be on the disk. Otherwise the start of the machine in which it was written.
    boot INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE INDEX object_unsettled ON object (boot) WHERE boot > 0;
-- Entries that keep objects alive.
CREATE TABLE owner (
    bucket TEXT NOT NULL,
    key BLOB NOT NULL,
    pinned INTEGER NOT NULL,
    record_type TEXT NOT NULL,
    description TEXT NOT NULL,
    created INTEGER NOT NULL,
    last_used INTEGER NOT NULL,
    uses INTEGER NOT NULL,
    PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
CREATE TABLE edge (
    bucket TEXT NOT NULL,
    key BLOB NOT NULL,
    kind INTEGER NOT NULL,
    to_bucket TEXT NOT NULL,
    to_key BLOB NOT NULL,
    PRIMARY KEY (bucket, key, kind, to_bucket, to_key)
) WITHOUT ROWID;
CREATE INDEX edge_to ON edge (kind, to_bucket, to_key);
-- What living processes use.
CREATE TABLE hold (
    session TEXT NOT NULL,
    lease INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    bucket TEXT NOT NULL,
    key BLOB NOT NULL,
    PRIMARY KEY (session, lease, kind, bucket, key)
) WITHOUT ROWID;
CREATE INDEX hold_to ON hold (kind, bucket, key);
PRAGMA user_version = 1;
