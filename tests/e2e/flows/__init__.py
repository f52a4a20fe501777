"""The section "Idempotency flows" of the acceptance cases, over gRPC."""
