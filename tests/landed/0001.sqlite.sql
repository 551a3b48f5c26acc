BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE blobs (
	owner TEXT NOT NULL, 
	sha256 TEXT NOT NULL, 
	object_name TEXT NOT NULL, 
	size BIGINT NOT NULL, 
	documents BIGINT NOT NULL, 
	CONSTRAINT blobs_pkey PRIMARY KEY (owner, sha256), 
	CONSTRAINT blobs_blobs_documents_check CHECK (documents > 0)
);
INSERT INTO "blobs" VALUES('alice','6e540971acafa5f53826f66290503e8ba74781ef89e38e7284b63c4536bd5364','objects/01a21918-8df6-72a9-9efb-bf2fdea5167a',138,1);
INSERT INTO "blobs" VALUES('alice','81db8ebbbbc69c6c6ad4a6aa92b76e0c08af547da236b9e2c9dbe1d8285a8130','objects/01a21918-8f00-7462-baeb-7b98ea3f3ad5.1',5,1);
CREATE TABLE documents (
	document_id TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	filename TEXT NOT NULL, 
	content_type TEXT NOT NULL, 
	size BIGINT NOT NULL, 
	sha256 TEXT NOT NULL, 
	"key" TEXT, 
	metadata JSON NOT NULL, 
	status TEXT NOT NULL, 
	error_message TEXT NOT NULL, 
	object_name TEXT NOT NULL, 
	create_time BIGINT NOT NULL, 
	update_time BIGINT NOT NULL, 
	CONSTRAINT documents_pkey PRIMARY KEY (document_id), 
	CONSTRAINT documents_blob_fkey FOREIGN KEY(owner, sha256) REFERENCES blobs (owner, sha256)
);
INSERT INTO "documents" VALUES('01a21918-8ebe-77de-9325-ce64d9f1f499','alice','notes.txt','text/plain',138,'6e540971acafa5f53826f66290503e8ba74781ef89e38e7284b63c4536bd5364',NULL,'{}','UPLOADED','','objects/01a21918-8df6-72a9-9efb-bf2fdea5167a',1795717369556000,1795717369556000);
INSERT INTO "documents" VALUES('01a21918-8f64-73b8-88cf-f7b1dc88b666','alice','notes.txt','text/plain',5,'81db8ebbbbc69c6c6ad4a6aa92b76e0c08af547da236b9e2c9dbe1d8285a8130','k/1','{"a": "b"}','PROCESSING','','objects/01a21918-8f00-7462-baeb-7b98ea3f3ad5.1',1795717369701000,1795717370979000);
CREATE TABLE event_era (
	era INTEGER NOT NULL, 
	CONSTRAINT event_era_pkey PRIMARY KEY (era)
);
INSERT INTO "event_era" VALUES(0);
CREATE TABLE events (
	era INTEGER NOT NULL, 
	xid BIGINT NOT NULL, 
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	event_id TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	type TEXT NOT NULL, 
	actor TEXT NOT NULL, 
	request_id TEXT NOT NULL, 
	create_time BIGINT NOT NULL, 
	document_id TEXT, 
	upload_id TEXT, 
	from_status TEXT, 
	to_status TEXT, 
	detail JSON NOT NULL, 
	idempotency_key TEXT
);
INSERT INTO "events" VALUES(0,0,1,'01a21918-8ed5-7097-a76b-44d752ad4cca','alice','document.created','alice','call-1',1795717369563000,'01a21918-8ebe-77de-9325-ce64d9f1f499','01a21918-8df6-72a9-9efb-bf2fdea5167a',NULL,NULL,'{"filename": "notes.txt", "sha256": "6e540971acafa5f53826f66290503e8ba74781ef89e38e7284b63c4536bd5364", "size": "138"}',NULL);
INSERT INTO "events" VALUES(0,0,2,'01a21918-8f67-721d-86f2-f596099ac106','alice','document.created','alice','call-2',1795717369707000,'01a21918-8f64-73b8-88cf-f7b1dc88b666','01a21918-8f00-7462-baeb-7b98ea3f3ad5',NULL,NULL,'{"filename": "notes.txt", "sha256": "81db8ebbbbc69c6c6ad4a6aa92b76e0c08af547da236b9e2c9dbe1d8285a8130", "size": "5"}',NULL);
INSERT INTO "events" VALUES(0,0,3,'01a21918-9033-7792-9cd6-61732a6a7a81','alice','document.created','alice','call-3',1795717369908000,'01a21918-9032-70e1-b56a-715898fe4565','01a21918-8ff2-74c2-951f-4e953f3bec05',NULL,NULL,'{"filename": "notes.txt", "sha256": "81db8ebbbbc69c6c6ad4a6aa92b76e0c08af547da236b9e2c9dbe1d8285a8130", "size": "5"}',NULL);
INSERT INTO "events" VALUES(0,0,4,'01a21918-9249-72ed-90cb-6125709f7256','alice','upload.failed','alice','call-5',1795717370442000,NULL,'01a21918-91c4-7475-9dc4-9e59eac4fad7',NULL,NULL,'{"persisted_size": "0", "reason": "CHECKSUM_MISMATCH", "message": "another digest"}',NULL);
INSERT INTO "events" VALUES(0,0,5,'01a21918-925d-7713-a448-00814a8eccb8','alice','upload.cancelled','alice','call-8',1795717370461000,NULL,'01a21918-91ca-7362-9dd8-3e3510d034c9',NULL,NULL,'{"persisted_size": "0"}',NULL);
INSERT INTO "events" VALUES(0,0,6,'01a21918-92d5-77cd-804a-36eafb2224b2','alice','upload.expired','janitor','call-9',1795717370582000,NULL,'01a21918-92b0-74b4-aebb-eb0f75ec7078',NULL,NULL,'{"persisted_size": "0"}',NULL);
INSERT INTO "events" VALUES(0,0,7,'01a21918-9463-712e-81d7-dca616d4b791','alice','document.status_changed','alice','call-11',1795717370980000,'01a21918-8f64-73b8-88cf-f7b1dc88b666',NULL,'UPLOADED','PROCESSING','{}','k-1');
INSERT INTO "events" VALUES(0,0,8,'01a21918-9484-7410-8c47-4c40c82f05fc','alice','scanned','alice','call-12',1795717371013000,'01a21918-8f64-73b8-88cf-f7b1dc88b666',NULL,NULL,NULL,'{"pages": "3"}','k-2');
INSERT INTO "events" VALUES(0,0,9,'01a21918-948e-75ad-9ce7-99facc91b333','alice','document.deleted','alice','call-13',1795717371022000,'01a21918-9032-70e1-b56a-715898fe4565',NULL,NULL,NULL,'{"filename": "notes.txt", "sha256": "81db8ebbbbc69c6c6ad4a6aa92b76e0c08af547da236b9e2c9dbe1d8285a8130", "size": "5"}',NULL);
CREATE TABLE leases (
	name TEXT NOT NULL, 
	holder TEXT NOT NULL, 
	expire_time BIGINT NOT NULL, 
	CONSTRAINT leases_pkey PRIMARY KEY (name)
);
INSERT INTO "leases" VALUES('janitor','next replica',1795717431051000);
CREATE TABLE parts (
	upload_id TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	size BIGINT NOT NULL, 
	etag TEXT NOT NULL, 
	crc32c BIGINT NOT NULL, 
	CONSTRAINT parts_pkey PRIMARY KEY (upload_id, number), 
	CONSTRAINT parts_upload_id_fkey FOREIGN KEY(upload_id) REFERENCES sessions (upload_id) ON DELETE CASCADE
);
INSERT INTO "parts" VALUES('01a21918-9204-76ba-8e46-345462ba6cb2',1,64,'etag-1',4294967041);
CREATE TABLE removals (
	removal_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	object_name TEXT NOT NULL, 
	multipart_id TEXT, 
	attempts INTEGER NOT NULL, 
	due_time BIGINT NOT NULL
);
INSERT INTO "removals" VALUES(2,'objects/01a21918-903c-775b-92c0-a9eef3f7e7f7.1',NULL,1,1795717431037000);
INSERT INTO "removals" VALUES(3,'objects/01a21918-91c4-7475-9dc4-9e59eac4fad7.1',NULL,1,1795717431038000);
INSERT INTO "removals" VALUES(4,'objects/01a21918-91ca-7362-9dd8-3e3510d034c9.1',NULL,1,1795717431039000);
INSERT INTO "removals" VALUES(5,'objects/01a21918-92b0-74b4-aebb-eb0f75ec7078.1',NULL,1,1795717431040000);
INSERT INTO "removals" VALUES(6,'objects/stray','mp-9',1,1795717431042000);
CREATE TABLE sessions (
	upload_id TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	filename TEXT NOT NULL, 
	content_type TEXT NOT NULL, 
	declared_size BIGINT, 
	declared_sha256 TEXT, 
	"key" TEXT, 
	metadata JSON NOT NULL, 
	duplicate_policy TEXT NOT NULL, 
	request_id TEXT, 
	opened_by TEXT NOT NULL, 
	state TEXT NOT NULL, 
	epoch BIGINT NOT NULL, 
	part_size BIGINT NOT NULL, 
	persisted_size BIGINT NOT NULL, 
	part_count INTEGER NOT NULL, 
	sha_state BLOB, 
	object_name TEXT NOT NULL, 
	multipart_id TEXT, 
	lifetime FLOAT NOT NULL, 
	create_time BIGINT NOT NULL, 
	update_time BIGINT NOT NULL, 
	expire_time BIGINT NOT NULL, 
	final_size BIGINT, 
	final_sha256 TEXT, 
	final_object TEXT, 
	document_id TEXT, 
	duplicate BOOLEAN NOT NULL, 
	receipt_bytes_received BIGINT NOT NULL, 
	receipt_bytes_skipped BIGINT NOT NULL, 
	receipt_part_count INTEGER NOT NULL, 
	receipt_sha256 TEXT NOT NULL, 
	error_reason TEXT, 
	error_message TEXT NOT NULL, 
	error_document_id TEXT, 
	CONSTRAINT sessions_pkey PRIMARY KEY (upload_id), 
	CONSTRAINT sessions_sessions_size_check CHECK (persisted_size >= 0)
);
INSERT INTO "sessions" VALUES('01a21918-8f00-7462-baeb-7b98ea3f3ad5','alice','notes.txt','text/plain',NULL,NULL,'k/1','{"a": "b"}','RETURN_EXISTING','r-1','call-2','COMMITTED',1,64,5,0,NULL,'objects/01a21918-8f00-7462-baeb-7b98ea3f3ad5',NULL,86400.0,1795717369613000,1795717369711000,1795803769613000,5,'81db8ebbbbc69c6c6ad4a6aa92b76e0c08af547da236b9e2c9dbe1d8285a8130','objects/01a21918-8f00-7462-baeb-7b98ea3f3ad5.1','01a21918-8f64-73b8-88cf-f7b1dc88b666',0,5,0,1,'81db8ebbbbc69c6c6ad4a6aa92b76e0c08af547da236b9e2c9dbe1d8285a8130',NULL,'',NULL);
INSERT INTO "sessions" VALUES('01a21918-8ff2-74c2-951f-4e953f3bec05','alice','notes.txt','text/plain',NULL,NULL,NULL,'{}','CREATE_NEW',NULL,'call-3','COMMITTED',1,64,5,0,NULL,'objects/01a21918-8ff2-74c2-951f-4e953f3bec05',NULL,86400.0,1795717369843000,1795717369908000,1795803769843000,5,'81db8ebbbbc69c6c6ad4a6aa92b76e0c08af547da236b9e2c9dbe1d8285a8130','objects/01a21918-8ff2-74c2-951f-4e953f3bec05.1','01a21918-9032-70e1-b56a-715898fe4565',0,5,0,1,'81db8ebbbbc69c6c6ad4a6aa92b76e0c08af547da236b9e2c9dbe1d8285a8130',NULL,'',NULL);
INSERT INTO "sessions" VALUES('01a21918-903c-775b-92c0-a9eef3f7e7f7','alice','notes.txt','text/plain',NULL,NULL,NULL,'{}','RETURN_EXISTING',NULL,'call-4','COMMITTED',1,64,5,0,NULL,'objects/01a21918-903c-775b-92c0-a9eef3f7e7f7',NULL,86400.0,1795717369917000,1795717370249000,1795803769917000,5,'81db8ebbbbc69c6c6ad4a6aa92b76e0c08af547da236b9e2c9dbe1d8285a8130','objects/01a21918-903c-775b-92c0-a9eef3f7e7f7.1','01a21918-8f64-73b8-88cf-f7b1dc88b666',1,5,0,1,'81db8ebbbbc69c6c6ad4a6aa92b76e0c08af547da236b9e2c9dbe1d8285a8130',NULL,'',NULL);
INSERT INTO "sessions" VALUES('01a21918-91c4-7475-9dc4-9e59eac4fad7','alice','notes.txt','text/plain',NULL,NULL,NULL,'{}','RETURN_EXISTING',NULL,'call-5','FAILED',1,64,0,0,NULL,'objects/01a21918-91c4-7475-9dc4-9e59eac4fad7',NULL,86400.0,1795717370309000,1795717370440000,1795803770309000,NULL,NULL,NULL,NULL,0,0,0,0,'','CHECKSUM_MISMATCH','another digest',NULL);
INSERT INTO "sessions" VALUES('01a21918-91ca-7362-9dd8-3e3510d034c9','alice','notes.txt','text/plain',NULL,NULL,NULL,'{}','RETURN_EXISTING',NULL,'call-6','CANCELLED',2,64,0,0,NULL,'objects/01a21918-91ca-7362-9dd8-3e3510d034c9',NULL,86400.0,1795717370315000,1795717370461000,1795803770315000,NULL,NULL,NULL,NULL,0,0,0,0,'',NULL,'',NULL);
INSERT INTO "sessions" VALUES('01a21918-9204-76ba-8e46-345462ba6cb2','alice','notes.txt','text/plain',NULL,NULL,NULL,'{}','RETURN_EXISTING',NULL,'call-7','ACTIVE',1,64,64,1,NULL,'objects/01a21918-9204-76ba-8e46-345462ba6cb2',NULL,86400.0,1795717370379000,1795717370401000,1795803770401000,NULL,NULL,NULL,NULL,0,0,0,0,'',NULL,'',NULL);
INSERT INTO "sessions" VALUES('01a21918-92b0-74b4-aebb-eb0f75ec7078','alice','notes.txt','text/plain',NULL,NULL,NULL,'{}','RETURN_EXISTING',NULL,'call-9','EXPIRED',1,64,0,0,NULL,'objects/01a21918-92b0-74b4-aebb-eb0f75ec7078',NULL,-1.0,1795717370545000,1795717370579000,1795717369545000,NULL,NULL,NULL,NULL,0,0,0,0,'',NULL,'',NULL);
INSERT INTO "sessions" VALUES('01a21918-92f5-7228-a583-fbbc96a942e2','alice','notes.txt','text/plain',NULL,NULL,NULL,'{}','RETURN_EXISTING',NULL,'call-10','COMMITTING',1,64,7,0,NULL,'objects/01a21918-92f5-7228-a583-fbbc96a942e2',NULL,86400.0,1795717370615000,1795717370619000,1795803770615000,7,'3b82aae1ed24f6077df25a3b4e1b7a78f100716d5a6f6949a0610b05bc1f8959','objects/01a21918-92f5-7228-a583-fbbc96a942e2.1',NULL,0,7,0,1,'3b82aae1ed24f6077df25a3b4e1b7a78f100716d5a6f6949a0610b05bc1f8959',NULL,'',NULL);
CREATE UNIQUE INDEX blobs_object_name_key ON blobs (object_name);
CREATE INDEX events_by_document ON events (owner, document_id, era, xid, id) WHERE document_id IS NOT NULL;
CREATE INDEX events_by_upload ON events (owner, upload_id, era, xid, id) WHERE upload_id IS NOT NULL;
CREATE UNIQUE INDEX events_idempotency_key ON events (owner, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX events_in_order ON events (owner, era, xid, id);
CREATE INDEX removals_due ON removals (due_time, removal_id);
CREATE INDEX removals_object_name ON removals (object_name);
CREATE INDEX sessions_by_request_id ON sessions (owner, request_id, create_time, upload_id) WHERE request_id IS NOT NULL;
CREATE INDEX sessions_by_state ON sessions (owner, state, create_time, upload_id);
CREATE INDEX sessions_committing ON sessions (update_time, upload_id) WHERE state = 'COMMITTING';
CREATE INDEX sessions_ended ON sessions (update_time) WHERE state IN ('COMMITTED', 'FAILED', 'CANCELLED', 'EXPIRED');
CREATE INDEX sessions_expiring ON sessions (expire_time) WHERE state = 'ACTIVE';
CREATE INDEX sessions_newest ON sessions (owner, create_time, upload_id);
CREATE UNIQUE INDEX sessions_request_id_key ON sessions (owner, request_id) WHERE request_id IS NOT NULL AND state IN ('ACTIVE', 'COMMITTING', 'COMMITTED');
CREATE INDEX sessions_unfinished_object ON sessions (object_name) WHERE state IN ('ACTIVE', 'COMMITTING');
CREATE INDEX documents_by_content_type ON documents (owner, content_type, create_time, document_id);
CREATE INDEX documents_by_sha256 ON documents (owner, sha256, create_time, document_id);
CREATE INDEX documents_by_status ON documents (owner, status, create_time, document_id);
CREATE UNIQUE INDEX documents_key_key ON documents (owner, "key") WHERE key IS NOT NULL;
CREATE INDEX documents_newest ON documents (owner, create_time, document_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('events',9);
INSERT INTO "sqlite_sequence" VALUES('removals',6);
COMMIT;
