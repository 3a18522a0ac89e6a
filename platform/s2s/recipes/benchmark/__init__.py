"""The parts of a benchmark, joined by `recipes/benchmarking.py`: its plan, one cell, cells in processes, rows, figures, records."""
