"""One module per runtime, found by its file name."""
