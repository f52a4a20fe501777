"""The section "Runs" of the acceptance cases, over gRPC."""
