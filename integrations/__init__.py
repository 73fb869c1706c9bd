"""The outside world: one folder a protocol, each answering a port of the engine."""
