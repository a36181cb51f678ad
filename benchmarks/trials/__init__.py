"""What benchmarks/validity.py is made of."""
