CREATE TABLE IF NOT EXISTS eoconsumer_offsets (
    grp TEXT, topic TEXT, part INTEGER, next_offset INTEGER, epoch INTEGER DEFAULT 0, owner TEXT,
    handed_over INTEGER, topic_id TEXT, cluster_id TEXT, leader_epoch INTEGER,
    PRIMARY KEY (grp, topic, part)
);
CREATE TABLE IF NOT EXISTS eoconsumer_topics (
    grp TEXT, topic TEXT, partitions INTEGER, PRIMARY KEY (grp, topic)
);
CREATE TABLE IF NOT EXISTS eoconsumer_dead_letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT, grp TEXT, topic TEXT, part INTEGER, at INTEGER,
    value BLOB, key BLOB, headers TEXT, timestamp INTEGER,
    type TEXT, text TEXT, traceback TEXT, attempts INTEGER, buried_at TEXT
);
CREATE TABLE IF NOT EXISTS eoconsumer_quarantine (
    grp TEXT, topic TEXT, part INTEGER, key BLOB, PRIMARY KEY (grp, topic, part, key)
);
CREATE TABLE IF NOT EXISTS eoconsumer_applied (
    grp TEXT, topic TEXT, part INTEGER, epoch INTEGER, number INTEGER,
    first INTEGER, upto INTEGER, ranges TEXT, passed TEXT,
    PRIMARY KEY (grp, topic, part, epoch, number)
);
