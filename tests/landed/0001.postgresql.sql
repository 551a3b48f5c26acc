SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.blobs (
    owner text NOT NULL COLLATE pg_catalog."C",
    sha256 text NOT NULL COLLATE pg_catalog."C",
    object_name text NOT NULL COLLATE pg_catalog."C",
    size bigint NOT NULL,
    documents bigint NOT NULL,
    CONSTRAINT blobs_blobs_documents_check CHECK ((documents > 0))
);
CREATE TABLE public.documents (
    document_id text NOT NULL COLLATE pg_catalog."C",
    owner text NOT NULL COLLATE pg_catalog."C",
    filename text NOT NULL COLLATE pg_catalog."C",
    content_type text NOT NULL COLLATE pg_catalog."C",
    size bigint NOT NULL,
    sha256 text NOT NULL COLLATE pg_catalog."C",
    key text COLLATE pg_catalog."C",
    metadata jsonb NOT NULL,
    status text NOT NULL COLLATE pg_catalog."C",
    error_message text NOT NULL COLLATE pg_catalog."C",
    object_name text NOT NULL COLLATE pg_catalog."C",
    create_time timestamp with time zone NOT NULL,
    update_time timestamp with time zone NOT NULL
);
CREATE TABLE public.event_era (
    era integer NOT NULL
);
CREATE TABLE public.events (
    era integer NOT NULL,
    xid bigint NOT NULL,
    id bigint NOT NULL,
    event_id text NOT NULL COLLATE pg_catalog."C",
    owner text NOT NULL COLLATE pg_catalog."C",
    type text NOT NULL COLLATE pg_catalog."C",
    actor text NOT NULL COLLATE pg_catalog."C",
    request_id text NOT NULL COLLATE pg_catalog."C",
    create_time timestamp with time zone NOT NULL,
    document_id text COLLATE pg_catalog."C",
    upload_id text COLLATE pg_catalog."C",
    from_status text COLLATE pg_catalog."C",
    to_status text COLLATE pg_catalog."C",
    detail jsonb NOT NULL,
    idempotency_key text COLLATE pg_catalog."C"
);
CREATE SEQUENCE public.events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.events_id_seq OWNED BY public.events.id;
CREATE TABLE public.leases (
    name text NOT NULL COLLATE pg_catalog."C",
    holder text NOT NULL COLLATE pg_catalog."C",
    expire_time timestamp with time zone NOT NULL
);
CREATE TABLE public.parts (
    upload_id text NOT NULL COLLATE pg_catalog."C",
    number integer NOT NULL,
    size bigint NOT NULL,
    etag text NOT NULL COLLATE pg_catalog."C",
    crc32c bigint NOT NULL
);
CREATE TABLE public.removals (
    removal_id bigint NOT NULL,
    object_name text NOT NULL COLLATE pg_catalog."C",
    multipart_id text COLLATE pg_catalog."C",
    attempts integer NOT NULL,
    due_time timestamp with time zone NOT NULL
);
CREATE SEQUENCE public.removals_removal_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.removals_removal_id_seq OWNED BY public.removals.removal_id;
CREATE TABLE public.sessions (
    upload_id text NOT NULL COLLATE pg_catalog."C",
    owner text NOT NULL COLLATE pg_catalog."C",
    filename text NOT NULL COLLATE pg_catalog."C",
    content_type text NOT NULL COLLATE pg_catalog."C",
    declared_size bigint,
    declared_sha256 text COLLATE pg_catalog."C",
    key text COLLATE pg_catalog."C",
    metadata jsonb NOT NULL,
    duplicate_policy text NOT NULL COLLATE pg_catalog."C",
    request_id text COLLATE pg_catalog."C",
    opened_by text NOT NULL COLLATE pg_catalog."C",
    state text NOT NULL COLLATE pg_catalog."C",
    epoch bigint NOT NULL,
    part_size bigint NOT NULL,
    persisted_size bigint NOT NULL,
    part_count integer NOT NULL,
    sha_state bytea,
    object_name text NOT NULL COLLATE pg_catalog."C",
    multipart_id text COLLATE pg_catalog."C",
    lifetime double precision NOT NULL,
    create_time timestamp with time zone NOT NULL,
    update_time timestamp with time zone NOT NULL,
    expire_time timestamp with time zone NOT NULL,
    final_size bigint,
    final_sha256 text COLLATE pg_catalog."C",
    final_object text COLLATE pg_catalog."C",
    document_id text COLLATE pg_catalog."C",
    duplicate boolean NOT NULL,
    receipt_bytes_received bigint NOT NULL,
    receipt_bytes_skipped bigint NOT NULL,
    receipt_part_count integer NOT NULL,
    receipt_sha256 text NOT NULL COLLATE pg_catalog."C",
    error_reason text COLLATE pg_catalog."C",
    error_message text NOT NULL COLLATE pg_catalog."C",
    error_document_id text COLLATE pg_catalog."C",
    CONSTRAINT sessions_sessions_size_check CHECK ((persisted_size >= 0))
);
ALTER TABLE ONLY public.events ALTER COLUMN id SET DEFAULT nextval('public.events_id_seq'::regclass);
ALTER TABLE ONLY public.removals ALTER COLUMN removal_id SET DEFAULT nextval('public.removals_removal_id_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('0001');
INSERT INTO public.blobs VALUES ('alice', '6e540971acafa5f53826f66290503e8ba74781ef89e38e7284b63c4536bd5364', 'objects/01a21918-96d5-70f4-a003-23524490cee2', 138, 1);
INSERT INTO public.blobs VALUES ('alice', '81db8ebbbbc69c6c6ad4a6aa92b76e0c08af547da236b9e2c9dbe1d8285a8130', 'objects/01a21918-9923-71d5-aa69-cf18f47549b6.1', 5, 1);
INSERT INTO public.documents VALUES ('01a21918-9847-704f-81f7-967aefb8fa2c', 'alice', 'notes.txt', 'text/plain', 138, '6e540971acafa5f53826f66290503e8ba74781ef89e38e7284b63c4536bd5364', NULL, '{}', 'UPLOADED', '', 'objects/01a21918-96d5-70f4-a003-23524490cee2', '2026-11-26 18:22:51.97696+00', '2026-11-26 18:22:51.97696+00');
INSERT INTO public.documents VALUES ('01a21918-99d4-7548-b257-8daaeb33e11a', 'alice', 'notes.txt', 'text/plain', 5, '81db8ebbbbc69c6c6ad4a6aa92b76e0c08af547da236b9e2c9dbe1d8285a8130', 'k/1', '{"a": "b"}', 'PROCESSING', '', 'objects/01a21918-9923-71d5-aa69-cf18f47549b6.1', '2026-11-26 18:22:52.373442+00', '2026-11-26 18:22:52.849847+00');
INSERT INTO public.event_era VALUES (0);
INSERT INTO public.events VALUES (0, 731, 1, '01a21918-984b-7364-805c-e0c3beda2dac', 'alice', 'document.created', 'alice', 'call-14', '2026-11-26 18:22:52.079798+00', '01a21918-9847-704f-81f7-967aefb8fa2c', '01a21918-96d5-70f4-a003-23524490cee2', NULL, NULL, '{"size": "138", "sha256": "6e540971acafa5f53826f66290503e8ba74781ef89e38e7284b63c4536bd5364", "filename": "notes.txt"}', NULL);
INSERT INTO public.events VALUES (0, 734, 2, '01a21918-99d7-70be-a1f8-e05f06225546', 'alice', 'document.created', 'alice', 'call-15', '2026-11-26 18:22:52.378259+00', '01a21918-99d4-7548-b257-8daaeb33e11a', '01a21918-9923-71d5-aa69-cf18f47549b6', NULL, NULL, '{"size": "5", "sha256": "81db8ebbbbc69c6c6ad4a6aa92b76e0c08af547da236b9e2c9dbe1d8285a8130", "filename": "notes.txt"}', NULL);
INSERT INTO public.events VALUES (0, 737, 3, '01a21918-9a14-767e-83d9-fb02b81ab01d', 'alice', 'document.created', 'alice', 'call-16', '2026-11-26 18:22:52.438641+00', '01a21918-9a0d-76bb-af6b-919f6d444e89', '01a21918-99e4-7653-a8d9-135556b659e2', NULL, NULL, '{"size": "5", "sha256": "81db8ebbbbc69c6c6ad4a6aa92b76e0c08af547da236b9e2c9dbe1d8285a8130", "filename": "notes.txt"}', NULL);
INSERT INTO public.events VALUES (0, 745, 4, '01a21918-9b12-747d-9afc-8a4bf5f97cb5', 'alice', 'upload.failed', 'alice', 'call-18', '2026-11-26 18:22:52.692314+00', NULL, '01a21918-9a96-77fc-8b86-695ba08f7ecd', NULL, NULL, '{"reason": "CHECKSUM_MISMATCH", "message": "another digest", "persisted_size": "0"}', NULL);
INSERT INTO public.events VALUES (0, 746, 5, '01a21918-9b25-74f1-a889-9caabedcfbfd', 'alice', 'upload.cancelled', 'alice', 'call-21', '2026-11-26 18:22:52.71631+00', NULL, '01a21918-9aa7-75fc-ba89-0dee301a460b', NULL, NULL, '{"persisted_size": "0"}', NULL);
INSERT INTO public.events VALUES (0, 748, 6, '01a21918-9b5b-740c-8d2b-70c63ececc45', 'alice', 'upload.expired', 'janitor', 'call-22', '2026-11-26 18:22:52.764191+00', NULL, '01a21918-9b36-732a-a961-fa0a61f936da', NULL, NULL, '{"persisted_size": "0"}', NULL);
INSERT INTO public.events VALUES (0, 751, 7, '01a21918-9bb4-756f-a838-7ee6027c4724', 'alice', 'document.status_changed', 'alice', 'call-24', '2026-11-26 18:22:52.853106+00', '01a21918-99d4-7548-b257-8daaeb33e11a', NULL, 'UPLOADED', 'PROCESSING', '{}', 'k-1');
INSERT INTO public.events VALUES (0, 752, 8, '01a21918-9bd8-77f5-aa77-d9cf7e8708b7', 'alice', 'scanned', 'alice', 'call-25', '2026-11-26 18:22:52.889186+00', '01a21918-99d4-7548-b257-8daaeb33e11a', NULL, NULL, NULL, '{"pages": "3"}', 'k-2');
INSERT INTO public.events VALUES (0, 753, 9, '01a21918-9c5a-7020-9e6b-c41b0d63159e', 'alice', 'document.deleted', 'alice', 'call-26', '2026-11-26 18:22:53.03689+00', '01a21918-9a0d-76bb-af6b-919f6d444e89', NULL, NULL, NULL, '{"size": "5", "sha256": "81db8ebbbbc69c6c6ad4a6aa92b76e0c08af547da236b9e2c9dbe1d8285a8130", "filename": "notes.txt"}', NULL);
INSERT INTO public.leases VALUES ('janitor', 'next replica', '2026-11-26 18:23:53.110648+00');
INSERT INTO public.parts VALUES ('01a21918-9adf-70d6-8290-5eb170e6e9dc', 1, 64, 'etag-1', 4294967041);
INSERT INTO public.removals VALUES (2, 'objects/01a21918-9a28-74f8-8937-1ebfb0c8e6c0.1', NULL, 1, '2026-11-26 18:23:53.097138+00');
INSERT INTO public.removals VALUES (3, 'objects/01a21918-9a96-77fc-8b86-695ba08f7ecd.1', NULL, 1, '2026-11-26 18:23:53.098151+00');
INSERT INTO public.removals VALUES (4, 'objects/01a21918-9aa7-75fc-ba89-0dee301a460b.1', NULL, 1, '2026-11-26 18:23:53.099098+00');
INSERT INTO public.removals VALUES (5, 'objects/01a21918-9b36-732a-a961-fa0a61f936da.1', NULL, 1, '2026-11-26 18:23:53.099971+00');
INSERT INTO public.removals VALUES (6, 'objects/stray', 'mp-9', 1, '2026-11-26 18:23:53.100902+00');
INSERT INTO public.sessions VALUES ('01a21918-9923-71d5-aa69-cf18f47549b6', 'alice', 'notes.txt', 'text/plain', NULL, NULL, 'k/1', '{"a": "b"}', 'RETURN_EXISTING', 'r-1', 'call-15', 'COMMITTED', 1, 64, 5, 0, NULL, 'objects/01a21918-9923-71d5-aa69-cf18f47549b6', NULL, 86400, '2026-11-26 18:22:52.333766+00', '2026-11-26 18:22:52.380902+00', '2026-11-27 18:22:52.333766+00', 5, '81db8ebbbbc69c6c6ad4a6aa92b76e0c08af547da236b9e2c9dbe1d8285a8130', 'objects/01a21918-9923-71d5-aa69-cf18f47549b6.1', '01a21918-99d4-7548-b257-8daaeb33e11a', false, 5, 0, 1, '81db8ebbbbc69c6c6ad4a6aa92b76e0c08af547da236b9e2c9dbe1d8285a8130', NULL, '', NULL);
INSERT INTO public.sessions VALUES ('01a21918-99e4-7653-a8d9-135556b659e2', 'alice', 'notes.txt', 'text/plain', NULL, NULL, NULL, '{}', 'CREATE_NEW', NULL, 'call-16', 'COMMITTED', 1, 64, 5, 0, NULL, 'objects/01a21918-99e4-7653-a8d9-135556b659e2', NULL, 86400, '2026-11-26 18:22:52.390096+00', '2026-11-26 18:22:52.442983+00', '2026-11-27 18:22:52.390096+00', 5, '81db8ebbbbc69c6c6ad4a6aa92b76e0c08af547da236b9e2c9dbe1d8285a8130', 'objects/01a21918-99e4-7653-a8d9-135556b659e2.1', '01a21918-9a0d-76bb-af6b-919f6d444e89', false, 5, 0, 1, '81db8ebbbbc69c6c6ad4a6aa92b76e0c08af547da236b9e2c9dbe1d8285a8130', NULL, '', NULL);
INSERT INTO public.sessions VALUES ('01a21918-9a28-74f8-8937-1ebfb0c8e6c0', 'alice', 'notes.txt', 'text/plain', NULL, NULL, NULL, '{}', 'RETURN_EXISTING', NULL, 'call-17', 'COMMITTED', 1, 64, 5, 0, NULL, 'objects/01a21918-9a28-74f8-8937-1ebfb0c8e6c0', NULL, 86400, '2026-11-26 18:22:52.465645+00', '2026-11-26 18:22:52.512528+00', '2026-11-27 18:22:52.465645+00', 5, '81db8ebbbbc69c6c6ad4a6aa92b76e0c08af547da236b9e2c9dbe1d8285a8130', 'objects/01a21918-9a28-74f8-8937-1ebfb0c8e6c0.1', '01a21918-99d4-7548-b257-8daaeb33e11a', true, 5, 0, 1, '81db8ebbbbc69c6c6ad4a6aa92b76e0c08af547da236b9e2c9dbe1d8285a8130', NULL, '', NULL);
INSERT INTO public.sessions VALUES ('01a21918-9adf-70d6-8290-5eb170e6e9dc', 'alice', 'notes.txt', 'text/plain', NULL, NULL, NULL, '{}', 'RETURN_EXISTING', NULL, 'call-20', 'ACTIVE', 1, 64, 64, 1, NULL, 'objects/01a21918-9adf-70d6-8290-5eb170e6e9dc', NULL, 86400, '2026-11-26 18:22:52.656365+00', '2026-11-26 18:22:52.672419+00', '2026-11-27 18:22:52.672419+00', NULL, NULL, NULL, NULL, false, 0, 0, 0, '', NULL, '', NULL);
INSERT INTO public.sessions VALUES ('01a21918-9a96-77fc-8b86-695ba08f7ecd', 'alice', 'notes.txt', 'text/plain', NULL, NULL, NULL, '{}', 'RETURN_EXISTING', NULL, 'call-18', 'FAILED', 1, 64, 0, 0, NULL, 'objects/01a21918-9a96-77fc-8b86-695ba08f7ecd', NULL, 86400, '2026-11-26 18:22:52.577031+00', '2026-11-26 18:22:52.690317+00', '2026-11-27 18:22:52.577031+00', NULL, NULL, NULL, NULL, false, 0, 0, 0, '', 'CHECKSUM_MISMATCH', 'another digest', NULL);
INSERT INTO public.sessions VALUES ('01a21918-9aa7-75fc-ba89-0dee301a460b', 'alice', 'notes.txt', 'text/plain', NULL, NULL, NULL, '{}', 'RETURN_EXISTING', NULL, 'call-19', 'CANCELLED', 2, 64, 0, 0, NULL, 'objects/01a21918-9aa7-75fc-ba89-0dee301a460b', NULL, 86400, '2026-11-26 18:22:52.63091+00', '2026-11-26 18:22:52.709462+00', '2026-11-27 18:22:52.63091+00', NULL, NULL, NULL, NULL, false, 0, 0, 0, '', NULL, '', NULL);
INSERT INTO public.sessions VALUES ('01a21918-9b36-732a-a961-fa0a61f936da', 'alice', 'notes.txt', 'text/plain', NULL, NULL, NULL, '{}', 'RETURN_EXISTING', NULL, 'call-22', 'EXPIRED', 1, 64, 0, 0, NULL, 'objects/01a21918-9b36-732a-a961-fa0a61f936da', NULL, -1, '2026-11-26 18:22:52.733381+00', '2026-11-26 18:22:52.76341+00', '2026-11-26 18:22:51.733381+00', NULL, NULL, NULL, NULL, false, 0, 0, 0, '', NULL, '', NULL);
INSERT INTO public.sessions VALUES ('01a21918-9b7d-76c1-8506-4a9d7f7aff69', 'alice', 'notes.txt', 'text/plain', NULL, NULL, NULL, '{}', 'RETURN_EXISTING', NULL, 'call-23', 'COMMITTING', 1, 64, 7, 0, NULL, 'objects/01a21918-9b7d-76c1-8506-4a9d7f7aff69', NULL, 86400, '2026-11-26 18:22:52.801259+00', '2026-11-26 18:22:52.813142+00', '2026-11-27 18:22:52.801259+00', 7, '3b82aae1ed24f6077df25a3b4e1b7a78f100716d5a6f6949a0610b05bc1f8959', 'objects/01a21918-9b7d-76c1-8506-4a9d7f7aff69.1', NULL, false, 7, 0, 1, '3b82aae1ed24f6077df25a3b4e1b7a78f100716d5a6f6949a0610b05bc1f8959', NULL, '', NULL);
SELECT pg_catalog.setval('public.events_id_seq', 9, true);
SELECT pg_catalog.setval('public.removals_removal_id_seq', 6, true);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.blobs
    ADD CONSTRAINT blobs_pkey PRIMARY KEY (owner, sha256);
ALTER TABLE ONLY public.documents
    ADD CONSTRAINT documents_pkey PRIMARY KEY (document_id);
ALTER TABLE ONLY public.event_era
    ADD CONSTRAINT event_era_pkey PRIMARY KEY (era);
ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.leases
    ADD CONSTRAINT leases_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.parts
    ADD CONSTRAINT parts_pkey PRIMARY KEY (upload_id, number);
ALTER TABLE ONLY public.removals
    ADD CONSTRAINT removals_pkey PRIMARY KEY (removal_id);
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (upload_id);
CREATE UNIQUE INDEX blobs_object_name_key ON public.blobs USING btree (object_name);
CREATE INDEX documents_by_content_type ON public.documents USING btree (owner, content_type, create_time, document_id);
CREATE INDEX documents_by_sha256 ON public.documents USING btree (owner, sha256, create_time, document_id);
CREATE INDEX documents_by_status ON public.documents USING btree (owner, status, create_time, document_id);
CREATE UNIQUE INDEX documents_key_key ON public.documents USING btree (owner, key) WHERE (key IS NOT NULL);
CREATE INDEX documents_newest ON public.documents USING btree (owner, create_time, document_id);
CREATE INDEX events_by_document ON public.events USING btree (owner, document_id, era, xid, id) WHERE (document_id IS NOT NULL);
CREATE INDEX events_by_upload ON public.events USING btree (owner, upload_id, era, xid, id) WHERE (upload_id IS NOT NULL);
CREATE UNIQUE INDEX events_idempotency_key ON public.events USING btree (owner, idempotency_key) WHERE (idempotency_key IS NOT NULL);
CREATE INDEX events_in_order ON public.events USING btree (owner, era, xid, id);
CREATE INDEX removals_due ON public.removals USING btree (due_time, removal_id);
CREATE INDEX removals_object_name ON public.removals USING btree (object_name);
CREATE INDEX sessions_by_request_id ON public.sessions USING btree (owner, request_id, create_time, upload_id) WHERE (request_id IS NOT NULL);
CREATE INDEX sessions_by_state ON public.sessions USING btree (owner, state, create_time, upload_id);
CREATE INDEX sessions_committing ON public.sessions USING btree (update_time, upload_id) WHERE (state = 'COMMITTING'::text);
CREATE INDEX sessions_ended ON public.sessions USING btree (update_time) WHERE (state = ANY (ARRAY['COMMITTED'::text, 'FAILED'::text, 'CANCELLED'::text, 'EXPIRED'::text]));
CREATE INDEX sessions_expiring ON public.sessions USING btree (expire_time) WHERE (state = 'ACTIVE'::text);
CREATE INDEX sessions_newest ON public.sessions USING btree (owner, create_time, upload_id);
CREATE UNIQUE INDEX sessions_request_id_key ON public.sessions USING btree (owner, request_id) WHERE ((request_id IS NOT NULL) AND (state = ANY (ARRAY['ACTIVE'::text, 'COMMITTING'::text, 'COMMITTED'::text])));
CREATE INDEX sessions_unfinished_object ON public.sessions USING btree (object_name) WHERE (state = ANY (ARRAY['ACTIVE'::text, 'COMMITTING'::text]));
ALTER TABLE ONLY public.documents
    ADD CONSTRAINT documents_blob_fkey FOREIGN KEY (owner, sha256) REFERENCES public.blobs(owner, sha256);
ALTER TABLE ONLY public.parts
    ADD CONSTRAINT parts_upload_id_fkey FOREIGN KEY (upload_id) REFERENCES public.sessions(upload_id) ON DELETE CASCADE;
