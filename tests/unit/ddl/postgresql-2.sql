CREATE TABLE eoconsumer_applied (
	group_name VARCHAR(255) COLLATE "C" NOT NULL, 
	topic VARCHAR(249) COLLATE "C" NOT NULL, 
	partition_number INTEGER NOT NULL, 
	epoch BIGINT NOT NULL, 
	line_number BIGINT NOT NULL, 
	first_offset BIGINT NOT NULL, 
	upto_offset BIGINT NOT NULL, 
	ranges TEXT NOT NULL, 
	passed TEXT NOT NULL, 
	written_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	PRIMARY KEY (group_name, topic, partition_number, epoch, line_number)
);
CREATE INDEX eoconsumer_applied_offsets ON eoconsumer_applied (group_name, topic, partition_number, first_offset);
CREATE TABLE eoconsumer_dead_letters (
	id BIGSERIAL NOT NULL, 
	group_name VARCHAR(255) COLLATE "C" NOT NULL, 
	topic VARCHAR(249) COLLATE "C" NOT NULL, 
	partition_number INTEGER NOT NULL, 
	offset_number BIGINT NOT NULL, 
	timestamp_ms BIGINT, 
	key_bytes BYTEA, 
	key_digest BYTEA, 
	value_bytes BYTEA, 
	headers TEXT NOT NULL, 
	error_type VARCHAR(400) NOT NULL, 
	error_text TEXT NOT NULL, 
	error_traceback TEXT NOT NULL, 
	attempts INTEGER NOT NULL, 
	buried_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	PRIMARY KEY (id)
);
CREATE INDEX eoconsumer_letters_key ON eoconsumer_dead_letters (group_name, topic, partition_number, key_digest);
CREATE INDEX eoconsumer_letters_place ON eoconsumer_dead_letters (group_name, topic, partition_number, offset_number, id);
CREATE TABLE eoconsumer_offsets (
	group_name VARCHAR(255) COLLATE "C" NOT NULL, 
	topic VARCHAR(249) COLLATE "C" NOT NULL, 
	partition_number INTEGER NOT NULL, 
	lane INTEGER NOT NULL, 
	next_offset BIGINT NOT NULL, 
	epoch BIGINT NOT NULL, 
	owner VARCHAR(400) NOT NULL, 
	session VARCHAR(32) NOT NULL, 
	formers VARCHAR(128) NOT NULL, 
	handed_over BOOLEAN NOT NULL, 
	topic_id VARCHAR(64), 
	cluster_id VARCHAR(255), 
	leader_epoch INTEGER, 
	updated_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	begun BIGINT DEFAULT '0' NOT NULL, 
	PRIMARY KEY (group_name, topic, partition_number, lane)
);
CREATE TABLE eoconsumer_quarantine (
	group_name VARCHAR(255) COLLATE "C" NOT NULL, 
	topic VARCHAR(249) COLLATE "C" NOT NULL, 
	partition_number INTEGER NOT NULL, 
	key_digest BYTEA NOT NULL, 
	key_bytes BYTEA NOT NULL, 
	letters BIGINT NOT NULL, 
	updated_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	PRIMARY KEY (group_name, topic, partition_number, key_digest)
);
CREATE TABLE eoconsumer_schema (
	version INTEGER NOT NULL, 
	PRIMARY KEY (version)
);
CREATE TABLE eoconsumer_topics (
	group_name VARCHAR(255) COLLATE "C" NOT NULL, 
	topic VARCHAR(249) COLLATE "C" NOT NULL, 
	partitions INTEGER NOT NULL, 
	PRIMARY KEY (group_name, topic)
);
INSERT INTO eoconsumer_schema (version) VALUES (2);
