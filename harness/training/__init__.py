"""Compression with the training code at hand: schedules, masks, checkpoints (extra `author`)."""
