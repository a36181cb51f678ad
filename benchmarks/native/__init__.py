"""What benchmarks/overhead.py measures the agent against: C loops and the runtimes' own tools."""
