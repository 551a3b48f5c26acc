"""What several tests share: real servers, real tools, and how to find them."""

import os

# A process that has used gRPC starts others here: servers, databases. grpc's handlers of fork() are not for that
# (doc/fork_support.md), and now and then a child died of them before it had become the program to start.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
