"""Checkpoints on disk: reading, writing, naming and verifying them, and the packaged `nano` weights."""
