"""Callers with plain stubs: they leave their calls in the middle, take over what others send, and change their minds.

What they may be told is looser than for our client; what must not happen because of them is not.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import time
from contextlib import closing
from dataclasses import replace
from random import Random
from typing import Any

import grpc
from ledgerlift.v1 import upload_service_pb2 as pb
from ledgerlift_client import DuplicatePolicy

from tests.faults import leaving_client
from tests.faults.campaign.careful import CALL, LATE
from tests.faults.campaign.model import Model, Told
from tests.faults.campaign.tally import OK
from tests.faults.campaign.workers import Operation
from tests.faults.leaving_client import SIGKILL, leave, plans
from tests.support.raw_uploads import OpenUpload, content, messages, reason, spec, uploads

STREAM = 20.0
"""Seconds for an Upload call."""
LEAVES_WITHIN = 0.5
"""Seconds: a commit takes less, unless something is wrong."""
USUAL = DuplicatePolicy.RETURN_EXISTING
KILLED_ONE_OF = 6
"""Left uploads by a process that is killed: each costs the start of one."""
PLAINLY = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
"""A call that grpc begins anew by itself would be a newer holder of its session, and nobody had asked for it."""

_SAYS_NOTHING = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED"}
_BY_CLOCK = {"UPLOAD_EXPIRED"}
_killable = multiprocessing.get_context("forkserver")
_killable.set_forkserver_preload([leaving_client.__name__])


class Careless:
    """Operations of one caller. `addresses`: of a server each."""

    def __init__(
        self, name: str, addresses: tuple[str, str], model: Model, random: Random, part_size: int, clock_jumps: bool
    ) -> None:
        """`clock_jumps`: sessions may expire under their callers."""
        self._name = name
        self._addresses = addresses
        self._model = model
        self._random = random
        self._part_size = part_size
        self._clock_jumps = clock_jumps
        self._number = 0

    @property
    def operations(self) -> dict[str, tuple[int, float, Operation]]:
        """As a worker takes them."""
        return {
            "leave": (40, 2 * STREAM + 3 * LATE, self._leave),
            "end early": (15, STREAM + LATE, self._end_early),
            "plain upload": (30, STREAM + LATE, self._plain),
            "finish and leave": (30, STREAM + LATE, self._finish_and_leave),
            "take over": (30, CALL + 3 * STREAM + LATE, self._take_over),
            "cancel": (15, 2 * CALL + 2 * STREAM + LATE, self._cancel),
        }

    def _leave(self) -> str:
        """Nobody says that it is finished: it must never be."""
        made = plans(self._random, 1, self._part_size)
        plan = next(one for one in made if one.way != SIGKILL or self._random.randrange(KILLED_ONE_OF) == 0)
        plan = replace(plan, request_id=f"{self._name}-{plan.request_id}", timeout=min(plan.timeout, STREAM))
        self._model.intend(plan.request_id, plan.sha256, finish=False)
        address = self._random.choice(self._addresses)
        if plan.way != SIGKILL:
            code = leave(address, plan).code
            self._model.leave(plan.request_id, plan.seed, plan.size)
            return f"{plan.way}: {code}"
        client = _killable.Process(target=leave, args=(address, plan))
        client.start()
        client.join(2 * STREAM)
        client.kill()  # where it waits for a server that does not answer
        client.join()
        client.close()
        self._model.leave(plan.request_id, plan.seed, plan.size)
        return f"{plan.way}: killed"

    def _end_early(self) -> str:
        """The stream ends as it should, but for its last word: as a program that forgets it, or an intermediary that
        makes an end of what was an abort. Anywhere, and once in a while behind the last byte."""
        seed, size, request_id = self._new(self._random.choice([20_000, 2 * self._part_size]))
        data = content(seed, size)
        digest = hashlib.sha256(data).hexdigest()
        self._model.intend(request_id, digest, finish=False)
        stop = size if self._random.random() < 0.25 else self._random.randint(0, size)
        partial = self._random.random() < 0.5
        with grpc.insecure_channel(self._random.choice(self._addresses), PLAINLY) as channel:
            stream = messages(data, 0, stop, spec=spec(request_id), accept_partial=partial)
            try:
                answer = uploads(channel).Upload(stream, timeout=STREAM)
            except grpc.RpcError as refused:
                return self._told(refused, {"UPLOAD_INCOMPLETE"})
            finally:
                self._model.leave(request_id, seed, size)
        if answer.HasField("document") or not partial:
            self._model.accuse(
                f"{self._name}: nobody has finished {request_id}, and it was answered {' '.join(str(answer).split())}"
            )
        self._model.is_durable(answer.upload.upload_id, answer.upload.persisted_size)
        return OK

    def _plain(self) -> str:
        """One call, tried once; unless it is answered, nobody knows."""
        seed, size, request_id = self._new(self._random.choice([1000, 30_000, self._part_size + 1000]))
        data = content(seed, size)
        digest = hashlib.sha256(data).hexdigest()
        self._model.intend(request_id, digest, finish=True)
        with grpc.insecure_channel(self._random.choice(self._addresses), PLAINLY) as channel:
            try:
                stream = messages(data, finish=True, spec=spec(request_id, size=size))
                document = uploads(channel).Upload(stream, timeout=STREAM).document
            except grpc.RpcError as refused:
                return self._told(refused)
        self._model.uploaded(Told(document.document_id, document.sha256, seed, size, self._name, request_id, USUAL))
        return OK

    def _finish_and_leave(self) -> str:
        """All of it, and away before the answer, never to ask again: what has begun by then is the servers' alone."""
        seed, size, request_id = self._new(self._random.choice([1000, 30_000, self._part_size + 1000]))
        data = content(seed, size)
        self._model.intend(request_id, hashlib.sha256(data).hexdigest(), finish=True)
        with grpc.insecure_channel(self._random.choice(self._addresses), PLAINLY) as channel:
            stream = messages(data, finish=True, spec=spec(request_id, size=size))
            call: Any = uploads(channel).Upload
            upload = call.future(stream, timeout=STREAM)
            self._pause(LEAVES_WITHIN)
            upload.cancel()
        return "left"

    def _take_over(self) -> str:
        """A second stream takes the session, at another server and with other bytes; the first one sends on.

        From the moment at which the second is told what is durable, nothing of the first may get in any more.
        """
        part = self._part_size
        first, size, request_id = self._new(3 * part + 1000)
        older_data, newer_data = content(first, size), content(first + 1, size)
        self._model.intend(request_id, finish=False)
        to_older, to_newer = self._random.sample(self._addresses, 2)
        with (
            closing(grpc.insecure_channel(to_older, PLAINLY)) as one,
            closing(grpc.insecure_channel(to_newer, PLAINLY)) as other,
        ):
            try:
                request = pb.CreateUploadRequest(spec=spec(request_id, size=size))
                upload_id = uploads(one).CreateUpload(request, timeout=CALL).upload.upload_id
                older, newer = OpenUpload(one, timeout=STREAM), OpenUpload(other, timeout=STREAM)
                cut = self._random.randint(1, 2 * part)
                older.send(messages(older_data, 0, cut, size=part // 4, upload_id=upload_id))
                older.persisted_size()  # it holds the session
                newer.send([pb.UploadRequest(upload_id=upload_id)])
                durable = newer.persisted_size()
            except (grpc.RpcError, KeyError):  # a call that is refused announces nothing
                return "not taken over"
            self._model.is_durable(upload_id, durable)
            right = hashlib.sha256(older_data[:durable] + newer_data[durable:]).hexdigest()
            self._model.intend(request_id, right, finish=True)
            older.send(messages(older_data, cut, size=part // 4, finish=True))
            self._pause(0.5)
            newer.send(messages(newer_data, durable, finish=True))
            outcomes = [self._ended(newer, right, newest=True), self._ended(older, right, newest=False)]
        return outcomes[0]

    def _ended(self, upload: OpenUpload, right: str, *, newest: bool) -> str:
        try:
            document = upload.answer().document
        except grpc.RpcError as refused:
            # The store may have taken a late part of the older stream last: then the upload ends, and says so.
            also = {"STORED_OBJECT_CORRUPT"} if newest else {"UPLOAD_SUPERSEDED", "STORED_OBJECT_CORRUPT"}
            return self._told(refused, also)
        if document.sha256 != right:
            which = "newer" if newest else "older, superseded"
            self._model.accuse(f"{self._name}: {right} was held by the newer stream, the {which} one got {document}")
        return OK

    def _cancel(self) -> str:
        """Given up in the middle: it stays so, whatever its stream sends afterwards."""
        seed, size, request_id = self._new(2 * self._part_size)
        data = content(seed, size)
        self._model.intend(request_id, finish=False)
        with closing(grpc.insecure_channel(self._random.choice(self._addresses), PLAINLY)) as channel:
            try:
                request = pb.CreateUploadRequest(spec=spec(request_id, size=size))
                upload_id = uploads(channel).CreateUpload(request, timeout=CALL).upload.upload_id
                stream = OpenUpload(channel, timeout=STREAM)
                stream.send(messages(data, 0, self._random.randint(1, size - 1), upload_id=upload_id))
                self._pause(0.2)
                uploads(channel).CancelUpload(pb.CancelUploadRequest(upload_id=upload_id), timeout=CALL)
            except grpc.RpcError as refused:
                return self._told(refused)
            self._model.cancel(upload_id)
            try:
                stream.send([pb.UploadRequest(finish_write=True)])
                stream.answer()
            except grpc.RpcError:
                return OK
        self._model.accuse(f"{self._name}: {upload_id} was cancelled, and then answered with a document")
        return "a document"

    def _told(self, refused: Any, also: set[str] | frozenset[str] = frozenset()) -> str:
        code, why = refused.code().name, reason(refused)
        known = also | (_BY_CLOCK if self._clock_jumps else set())
        if code not in _SAYS_NOTHING and why not in known:
            self._model.accuse(f"{self._name}: told {code} {why}, {refused.details()}")
        return why or code

    def _new(self, size: int) -> tuple[int, int, str]:
        self._number += 1
        return self._random.getrandbits(48), size, f"{self._name}-{self._number}"

    def _pause(self, longest: float) -> None:
        # No waiting for anything: where the other side is at that moment is to be different every time.
        time.sleep(self._random.uniform(0.0, longest))
