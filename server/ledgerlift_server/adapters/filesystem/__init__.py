"""The object store in a folder of this machine: durable, crash-safe, and without a second write of the bytes."""

from ledgerlift_server.adapters.filesystem.store import FilesystemStore

__all__ = ["FilesystemStore"]
