"""What runs on the device: a standalone agent for Python 3.8+, numpy and one runtime."""
