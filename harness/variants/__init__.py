"""How variants are made: a dense model file in, pruned and quantised ones out."""
