"""What runs on the device: a standalone agent (Python 3.8+, standard library, numpy, one runtime)."""
