"""The fidelity tree, and the comparer that trusts nothing of the program it judges."""
