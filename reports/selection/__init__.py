"""Which hardware, runtime and variant to choose: what is feasible, what is best, and how surely."""
