"""Any sequence of what callers may do to upload sessions, each answer held against the model."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from hypothesis import seed as seeded
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from ledgerlift.v1 import document_service_pb2 as documents_pb
from ledgerlift.v1 import upload_service_pb2 as pb

from tests.support.open_stream import TIMEOUT, Ending, OpenStream
from tests.support.protocol_model import DEAD, PART, Upload, digest
from tests.support.protocol_world import World, expire
from tests.support.raw_uploads import reason, spec

UNIQUE = 16
"""Bytes from which on no two documents are alike: a shorter one, declared whole, may be committed unsent."""


def code(error: Any) -> str:
    """As `Ending.kind`."""
    return f"{error.code().name}/{reason(error)}"


class ProtocolMachine(RuleBasedStateMachine):
    """Nothing here depends on what the server answers but asserts: a sequence can be made again."""

    sessions: Bundle[Upload] = Bundle("sessions")

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self._sequence = world.sequences
        world.sequences += 1
        self._uploads: list[Upload] = []
        self._held: dict[str, tuple[OpenStream, int]] = {}
        """Streams that wait for more: upload id, and the bytes that they have got to."""

    def teardown(self) -> None:
        """Nobody waits for an answer any more."""
        for stream, _ in self._held.values():
            stream.leave()

    @rule(
        target=sessions,
        size=st.none() | st.integers(0, 5 * PART),
        declared=st.sampled_from(["", "", "right", "wrong"]),
    )
    def create(self, size: int | None, declared: str) -> Upload:
        """A new session, with or without a size and a digest, right or wrong."""
        number = self._world.sessions
        self._world.sessions += 1
        upload = Upload(number, "", f"{self._sequence}-{number}", size, None)
        if declared and (size or 0) >= UNIQUE:
            upload.sha256 = digest(upload.bytes[: size or 0]) if declared == "right" else "1" * 64
        self._open(upload)
        return upload

    @rule(upload=sessions)
    def create_again(self, upload: Upload) -> None:
        """One request id is one session while it lives, and a new one when nothing came of it."""
        if upload.deleted:
            return
        if upload.state in DEAD:
            older = upload.upload_id
            upload.state, upload.low, upload.high = "ACTIVE", 0, 0
            self._let_go(older)
            self._open(upload)
            assert upload.upload_id != older
            return
        answer = self._world.uploads.CreateUpload(pb.CreateUploadRequest(spec=self._spec(upload)), timeout=TIMEOUT)
        assert (answer.upload.upload_id, answer.upload.state) == (upload.upload_id, self._state(upload))
        assert answer.document.document_id == (upload.document_id or "")

    @rule(
        upload=sessions,
        start=st.sampled_from(["absent", "durable", "overlap", "gap"]),
        back=st.integers(1, 2 * PART),
        lengths=st.lists(st.integers(0, 2 * PART), max_size=4),
        flaw=st.sampled_from(["", "", "", "gap", "again", "crc"]),
        ending=st.sampled_from(["end", "finish", "finish", "wrong size", "wrong digest", "break"]),
    )
    def stream(self, upload: Upload, start: str, back: int, lengths: list[int], flaw: str, ending: str) -> None:
        """A whole stream: right, or with a gap, bytes twice, a wrong CRC; ended, finished or broken off."""
        call = OpenStream(self._world.channel, upload.upload_id)
        if not self._takes(upload, call):
            return
        durable = upload.low
        position = max(0, durable - back) if start == "overlap" else durable + (start == "gap")
        offset = None if start == "absent" else position
        expected = ""
        for index, length in enumerate(lengths):
            last = index == len(lengths) - 1
            data = upload.bytes[position : position + length]
            crc = None
            if not expected and start == "gap" and index == 0:
                expected = "OUT_OF_RANGE/OFFSET_GAP"
            elif not expected and flaw == "crc" and last:
                crc, expected = 1, "INVALID_ARGUMENT/CHECKSUM_MISMATCH"
            elif not expected and flaw in ("gap", "again") and last and any(lengths[:index]):
                offset = position + (1 if flaw == "gap" else -1)
                expected = "OUT_OF_RANGE/OFFSET_GAP"
            elif not expected and upload.size is not None and position + length > upload.size:
                expected = "INVALID_ARGUMENT/SIZE_MISMATCH"
            call.send(data, crc=crc, offset=offset)
            offset = None
            position += length
            if not expected:
                upload.sent(position)
        if not lengths:
            position = durable
        self._end(upload, call, position, expected, ending)

    @rule(
        upload=sessions,
        back=st.sampled_from([0, 1, 100, PART]),
        parts=st.integers(0, 3),
        tail=st.integers(0, PART - 1),
    )
    def send_the_rest(self, upload: Upload, back: int, parts: int, tail: int) -> None:
        """From what is durable, or from before it, to the end: as a careful client does it."""
        call = OpenStream(self._world.channel, upload.upload_id)
        if not self._takes(upload, call):
            return
        end = upload.low + parts * PART + tail if upload.size is None else upload.size
        for begin in range(max(0, upload.low - back), end, PART):
            call.send(upload.bytes[begin : min(end, begin + PART)], offset=begin)
        self._end(upload, call, end, "", "finish")

    def _end(self, upload: Upload, call: OpenStream, position: int, expected: str, ending: str) -> None:
        if ending == "break":
            call.leave()
            return
        if ending == "end":
            answer = call.end()
            self._answered(answer, expected or "OK")
            if answer.response is None:
                return
            assert answer.response.stop_reason == pb.STOP_REASON_SEGMENT_END
            upload.seen(answer.response.upload.persisted_size)
            assert upload.low == upload.high, "an orderly end makes every whole part durable"
            return
        wrong = {"wrong size": "size", "wrong digest": "digest"}.get(ending, "")
        sha256 = "2" * 64 if wrong == "digest" else digest(upload.bytes[:position])
        call.finish(position + (wrong == "size"), sha256)
        expected = expected or upload.finished(position, wrong)
        answer = call.end()
        self._answered(answer, expected)
        if answer.response is not None:
            document = answer.response.document
            assert (document.size, document.sha256) == (position, digest(upload.bytes[:position]))
            upload.document_id = document.document_id
            self._world.alive[document.document_id] = document.sha256

    @rule(upload=sessions, length=st.integers(0, 3 * PART))
    def hold(self, upload: Upload, length: int) -> None:
        """A stream that stays open; whoever held the session before it is told so."""
        call = OpenStream(self._world.channel, upload.upload_id)
        if not self._takes(upload, call):
            return
        if upload.size is not None:
            length = max(0, min(length, upload.size - upload.low))
        end = upload.low + length
        call.send(upload.bytes[upload.low : end])
        upload.sent(end)
        self._held[upload.upload_id] = (call, end)

    @rule(upload=sessions, ending=st.sampled_from(["end", "finish", "break"]))
    def let_go(self, upload: Upload, ending: str) -> None:
        """The stream that is open ends: nobody has taken its session since."""
        if upload.upload_id not in self._held:
            return
        call, end = self._held.pop(upload.upload_id)
        self._end(upload, call, end, "", ending)

    @rule(upload=sessions, how=st.sampled_from(["cancel", "expire"]))
    def give_up(self, upload: Upload, how: str) -> None:
        """Its caller gives it up, or its lifetime passes."""
        self._cancel(upload) if how == "cancel" else self._expire(upload)

    def _cancel(self, upload: Upload) -> None:
        """Given up for good, unless there is a document."""
        request = pb.CancelUploadRequest(upload_id=upload.upload_id)
        try:
            answer = self._world.uploads.CancelUpload(request, timeout=TIMEOUT)
        except grpc.RpcError as error:
            self._check((upload.state, code(error)), ("COMMITTED", "FAILED_PRECONDITION/UPLOAD_ALREADY_COMMITTED"))
            return
        if upload.state == "ACTIVE":
            upload.state = "CANCELLED"
            self._superseded(upload, DEAD["CANCELLED"])
        assert answer.upload.state == self._state(upload)

    def _expire(self, upload: Upload) -> None:
        """Its lifetime passes, and the janitor comes."""
        if upload.state != "ACTIVE":
            return
        asyncio.run(expire(self._world.stores, upload.upload_id))
        upload.state = "EXPIRED"
        self._superseded(upload, DEAD["EXPIRED"])

    @rule(upload=sessions)
    def delete(self, upload: Upload) -> None:
        """As often as one likes."""
        if upload.document_id is None:
            return
        request = documents_pb.DeleteDocumentRequest(document_id=upload.document_id)
        try:
            self._world.documents.DeleteDocument(request, timeout=TIMEOUT)
        except grpc.RpcError as error:
            raise AssertionError(f"deleting answered {code(error)}") from error
        upload.deleted = True
        self._world.alive.pop(upload.document_id, None)

    @rule(upload=sessions)
    def look(self, upload: Upload) -> None:
        """State and durable size are what the model says."""
        answer = self._world.uploads.GetUpload(pb.GetUploadRequest(upload_id=upload.upload_id), timeout=TIMEOUT)
        assert answer.upload.state == self._state(upload)
        if upload.state == "ACTIVE":
            upload.seen(answer.upload.persisted_size)
        assert answer.upload.document_id == (upload.document_id or "")

    @precondition(lambda self: any(one.document_id and not one.deleted for one in self._uploads))
    @rule()
    def read(self) -> None:
        """Every document is there, whole."""
        for upload in self._uploads:
            if upload.document_id is None or upload.deleted:
                continue
            parts = self._world.documents.DownloadDocument(
                documents_pb.DownloadDocumentRequest(document_id=upload.document_id), timeout=TIMEOUT
            )
            data = b"".join(part.chunk.data for part in parts)
            assert digest(data) == self._world.alive[upload.document_id]

    @invariant()
    def there_are_the_documents_that_were_acknowledged(self) -> None:
        """These, and no others."""
        self._world.steps += 1
        request = documents_pb.ListDocumentsRequest(page_size=1000, key_prefix=f"{self._sequence}/")
        found = self._world.documents.ListDocuments(request, timeout=TIMEOUT).documents
        told = {one.document_id for one in self._uploads if one.document_id is not None and not one.deleted}
        assert {one.document_id for one in found} == told

    def _open(self, upload: Upload) -> None:
        answer = self._world.uploads.CreateUpload(pb.CreateUploadRequest(spec=self._spec(upload)), timeout=TIMEOUT)
        assert (answer.upload.state, answer.upload.persisted_size) == (pb.UPLOAD_STATE_ACTIVE, 0)
        upload.upload_id = answer.upload.upload_id
        if upload not in self._uploads:
            self._uploads.append(upload)

    def _spec(self, upload: Upload) -> pb.UploadSpec:
        declared: dict[str, Any] = {} if upload.size is None else {"size": upload.size}
        if upload.sha256 is not None:
            declared["sha256"] = upload.sha256
        # Documents of nothing are all alike.
        declared["duplicate_policy"] = pb.DUPLICATE_POLICY_CREATE_NEW
        return spec(upload.request_id, key=f"{self._sequence}/{upload.number}", **declared)

    def _takes(self, upload: Upload, call: OpenStream) -> bool:
        """Whether the stream has the session; else its refusal is the one of the session's state."""
        begun_at = call.begun_at()
        if upload.state == "ACTIVE":
            assert begun_at is not None, call.answer()
            self._superseded(upload, "ABORTED/UPLOAD_SUPERSEDED")
            upload.taken(begun_at)
            return True
        answer = call.end()
        if upload.state != "COMMITTED":
            self._answered(answer, DEAD[upload.state])
        elif upload.deleted:
            self._answered(answer, "NOT_FOUND/DOCUMENT_NOT_FOUND")
        else:
            self._answered(answer, "OK")
            assert answer.response is not None
            assert answer.response.document.document_id == upload.document_id
        return False

    def _superseded(self, upload: Upload, kind: str) -> None:
        """Whoever held the session until now is told why it does not any more."""
        if upload.upload_id in self._held:
            call, _ = self._held.pop(upload.upload_id)
            self._answered(call.answer(), kind)

    def _let_go(self, upload_id: str) -> None:
        if upload_id in self._held:
            self._held.pop(upload_id)[0].leave()

    def _answered(self, answer: Ending, expected: str) -> None:
        self._world.answers[answer.kind] += 1
        self._check(answer.kind, expected)

    @staticmethod
    def _check(found: object, expected: object) -> None:
        assert found == expected, f"{found} where {expected} was expected"

    @staticmethod
    def _state(upload: Upload) -> int:
        return pb.UploadState.Value(f"UPLOAD_STATE_{upload.state}")


def run_sequences(world: World, how: settings, *, seed: int = 0) -> None:
    """As many as `how` says, on this server. Raises the shortest sequence that it finds where one goes wrong."""

    @seeded(seed)
    class Machine(ProtocolMachine):
        def __init__(self) -> None:
            super().__init__(world)

    run_state_machine_as_test(Machine, settings=how)
