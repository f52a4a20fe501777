"""The gRPC API: messages in, messages out; what they mean is in ``core``."""
