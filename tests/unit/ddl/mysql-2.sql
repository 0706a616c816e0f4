CREATE TABLE eoconsumer_applied (
	group_name VARCHAR(255) NOT NULL, 
	topic VARCHAR(249) NOT NULL, 
	partition_number INTEGER NOT NULL, 
	epoch BIGINT NOT NULL, 
	line_number BIGINT NOT NULL, 
	first_offset BIGINT NOT NULL, 
	upto_offset BIGINT NOT NULL, 
	ranges LONGTEXT NOT NULL, 
	passed LONGTEXT NOT NULL, 
	written_at DATETIME(6) NOT NULL, 
	PRIMARY KEY (group_name, topic, partition_number, epoch, line_number)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX eoconsumer_applied_offsets ON eoconsumer_applied (group_name, topic, partition_number, first_offset);
CREATE TABLE eoconsumer_dead_letters (
	id BIGINT NOT NULL AUTO_INCREMENT, 
	group_name VARCHAR(255) NOT NULL, 
	topic VARCHAR(249) NOT NULL, 
	partition_number INTEGER NOT NULL, 
	offset_number BIGINT NOT NULL, 
	timestamp_ms BIGINT, 
	key_bytes LONGBLOB, 
	key_digest BINARY(32), 
	value_bytes LONGBLOB, 
	headers LONGTEXT NOT NULL, 
	error_type VARCHAR(400) NOT NULL, 
	error_text LONGTEXT NOT NULL, 
	error_traceback LONGTEXT NOT NULL, 
	attempts INTEGER NOT NULL, 
	buried_at DATETIME(6) NOT NULL, 
	PRIMARY KEY (id)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX eoconsumer_letters_key ON eoconsumer_dead_letters (group_name, topic, partition_number, key_digest);
CREATE INDEX eoconsumer_letters_place ON eoconsumer_dead_letters (group_name, topic, partition_number, offset_number, id);
CREATE TABLE eoconsumer_offsets (
	group_name VARCHAR(255) NOT NULL, 
	topic VARCHAR(249) NOT NULL, 
	partition_number INTEGER NOT NULL, 
	lane INTEGER NOT NULL, 
	next_offset BIGINT NOT NULL, 
	epoch BIGINT NOT NULL, 
	owner VARCHAR(400) NOT NULL, 
	session VARCHAR(32) NOT NULL, 
	formers VARCHAR(128) NOT NULL, 
	handed_over BOOL NOT NULL, 
	topic_id VARCHAR(64), 
	cluster_id VARCHAR(255), 
	leader_epoch INTEGER, 
	updated_at DATETIME(6) NOT NULL, 
	begun BIGINT NOT NULL DEFAULT '0', 
	PRIMARY KEY (group_name, topic, partition_number, lane)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE eoconsumer_quarantine (
	group_name VARCHAR(255) NOT NULL, 
	topic VARCHAR(249) NOT NULL, 
	partition_number INTEGER NOT NULL, 
	key_digest BINARY(32) NOT NULL, 
	key_bytes LONGBLOB NOT NULL, 
	letters BIGINT NOT NULL, 
	updated_at DATETIME(6) NOT NULL, 
	PRIMARY KEY (group_name, topic, partition_number, key_digest)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE eoconsumer_schema (
	version INTEGER NOT NULL, 
	PRIMARY KEY (version)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE eoconsumer_topics (
	group_name VARCHAR(255) NOT NULL, 
	topic VARCHAR(249) NOT NULL, 
	partitions INTEGER NOT NULL, 
	PRIMARY KEY (group_name, topic)
)ENGINE=InnoDB CHARSET=utf8mb4 COLLATE utf8mb4_bin;
INSERT INTO eoconsumer_schema (version) VALUES (2);
