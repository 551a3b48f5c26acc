"""Server reflection that tells what `protos` says, comments included.

grpcio-reflection answers from the generated modules, which lost every comment, and it does not find a
method or a field by its name. Both are what an engineer asks `grpcurl describe` for. So its servicer is
given a pool that knows them; the protocol stays the library's.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import aclosing
from importlib.resources import files
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha.reflection import SERVICE_NAME, aio

from ledgerlift_server.errors import FieldViolation, InvalidRequest

DESCRIBED = "described.binpb"
"""FileDescriptorSet with source info, made by `scripts/gen-protos` beside the generated modules."""


def reflection_servicer(service_names: Sequence[str]) -> aio.ReflectionServicer:
    """A servicer that lists `service_names` and itself."""
    described = descriptor_pb2.FileDescriptorSet.FromString(files("ledgerlift.v1").joinpath(DESCRIBED).read_bytes())
    pool = CommentedPool({file.name: file for file in described.file})
    return _ReflectionServicer((*service_names, SERVICE_NAME), pool=pool)  # type: ignore[no-untyped-call]  # theirs


class _ReflectionServicer(aio.ReflectionServicer):
    """The library's. A stream decodes as it is read, and what is no message is the caller's mistake here as well."""

    async def ServerReflectionInfo(self, request_iterator: AsyncIterable[Any], context: Any) -> AsyncIterator[Any]:
        """Raises InvalidRequest."""
        generated: Any = super().ServerReflectionInfo(request_iterator, context)
        try:
            async with aclosing(generated) as answers:
                async for answer in answers:
                    yield answer
        except DecodeError:
            raise InvalidRequest([FieldViolation("request", "is not a message of this method")]) from None


class CommentedFile:
    """A file descriptor as grpcio-reflection looks at it, with the comments where they are known."""

    def __init__(self, file: FileDescriptor, commented: dict[str, descriptor_pb2.FileDescriptorProto]) -> None:
        self._file = file
        self._commented = commented
        self.name: str = file.name

    @property
    def dependencies(self) -> list[CommentedFile]:
        """What it imports."""
        return [CommentedFile(file, self._commented) for file in self._file.dependencies]

    def CopyToProto(self, proto: descriptor_pb2.FileDescriptorProto) -> None:
        """Fill `proto`."""
        commented = self._commented.get(self.name)
        if commented is None:
            self._file.CopyToProto(proto)
        else:
            proto.CopyFrom(commented)


class CommentedPool:
    """The default descriptor pool, as far as grpcio-reflection asks it."""

    def __init__(self, commented: dict[str, descriptor_pb2.FileDescriptorProto]) -> None:
        """`commented` has the files whose comments are known, by name."""
        self._pool: Any = descriptor_pool.Default()
        self._commented = commented

    def FindFileByName(self, name: str) -> CommentedFile:
        """KeyError when there is none."""
        return CommentedFile(self._pool.FindFileByName(name), self._commented)

    def FindFileContainingSymbol(self, symbol: str) -> CommentedFile:
        """The file of a message, enum, service or extension, or of a method or field of one. KeyError without one."""
        try:
            file = self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            parent, _, member = symbol.rpartition(".")
            file = self._pool.FindFileContainingSymbol(parent)
            if not self._has_member(parent, member):
                raise
        return CommentedFile(file, self._commented)

    def FindMessageTypeByName(self, name: str) -> Any:
        """KeyError when there is none."""
        return self._pool.FindMessageTypeByName(name)

    def FindExtensionByNumber(self, message: Any, number: int) -> Any:
        """KeyError when there is none."""
        return self._pool.FindExtensionByNumber(message, number)

    def FindAllExtensions(self, message: Any) -> Any:
        """All known extensions of `message`."""
        return self._pool.FindAllExtensions(message)

    def _has_member(self, parent: str, member: str) -> bool:
        for find, members in (
            (self._pool.FindServiceByName, "methods_by_name"),
            (self._pool.FindMessageTypeByName, "fields_by_name"),
        ):
            try:
                return member in getattr(find(parent), members)
            except KeyError:
                continue
        return False
