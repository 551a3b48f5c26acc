"""What callers see: servicers that translate and delegate, and the one table from errors to codes."""
