"""Benchmarks: tables of ratios taken in one run. `make bench` prints them all, `make bench-quick` the short ones."""
