"""The asyncio client: grpc.aio, and threads for what would hold the loop up. Everything else is the shared core's."""
