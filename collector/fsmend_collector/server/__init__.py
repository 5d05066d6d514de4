"""gRPC: who is calling, which status code, and both directions of an agent's stream."""
