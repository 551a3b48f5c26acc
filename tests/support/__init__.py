"""What several tests share: real servers, real tools, and how to find them."""
