"""The object store on S3 and what speaks its protocol, through boto3's low-level calls."""

from ledgerlift_server.adapters.s3.inspection import StoreFacts, inspect_store
from ledgerlift_server.adapters.s3.options import S3Options
from ledgerlift_server.adapters.s3.probe import StoreReport
from ledgerlift_server.adapters.s3.store import S3Store

__all__ = ["S3Options", "S3Store", "StoreFacts", "StoreReport", "inspect_store"]
