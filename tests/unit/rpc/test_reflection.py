"""What an engineer sees of the API through reflection tools."""

from __future__ import annotations

from importlib.resources import files

import pytest
from google.protobuf import descriptor_pb2
from ledgerlift_server.rpc.reflection import DESCRIBED, CommentedPool, reflection_servicer


@pytest.fixture
def pool() -> CommentedPool:
    """A pool over the descriptors that ship."""
    raw = files("ledgerlift.v1").joinpath(DESCRIBED).read_bytes()
    return CommentedPool({file.name: file for file in descriptor_pb2.FileDescriptorSet.FromString(raw).file})


@pytest.mark.parametrize(
    "symbol",
    [
        "ledgerlift.v1.UploadService",
        "ledgerlift.v1.UploadService.Upload",
        "ledgerlift.v1.UploadRequest",
        "ledgerlift.v1.UploadRequest.crc32c",
    ],
)
def test_symbols_are_found_with_their_comments(pool: CommentedPool, symbol: str) -> None:
    """A service, a method, a message and a field each lead to their file, comments included."""
    proto = descriptor_pb2.FileDescriptorProto()
    pool.FindFileContainingSymbol(symbol).CopyToProto(proto)
    assert proto.name == "ledgerlift/v1/upload_service.proto"
    comments = [location.leading_comments for location in proto.source_code_info.location]
    assert any("The end of the stream is not success" in comment for comment in comments)


@pytest.mark.parametrize(
    "symbol", ["ledgerlift.v1.Nope", "ledgerlift.v1.UploadService.Nope", "ledgerlift.v1.UploadRequest.nope", "", "."]
)
def test_unknown_symbols_are_not_found(pool: CommentedPool, symbol: str) -> None:
    """What is not in the API is not found, as a member of something that is there neither."""
    with pytest.raises(KeyError):
        pool.FindFileContainingSymbol(symbol)


def test_files_without_comments_come_as_they_are(pool: CommentedPool) -> None:
    """Well-known types are served too: tools need every import."""
    imported = {file.name for file in pool.FindFileByName("ledgerlift/v1/upload_service.proto").dependencies}
    assert "google/protobuf/timestamp.proto" in imported
    proto = descriptor_pb2.FileDescriptorProto()
    pool.FindFileByName("google/protobuf/timestamp.proto").CopyToProto(proto)
    assert proto.message_type[0].name == "Timestamp"


def test_the_servicer_is_the_librarys() -> None:
    """The protocol itself is grpcio-reflection's."""
    assert reflection_servicer(["ledgerlift.v1.UploadService"])._service_names == (
        "grpc.reflection.v1alpha.ServerReflection",
        "ledgerlift.v1.UploadService",
    )
