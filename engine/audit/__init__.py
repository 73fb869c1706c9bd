"""Events' way into the tamper-evident log: appending, checkpoints, proofs, exports and their verification."""
