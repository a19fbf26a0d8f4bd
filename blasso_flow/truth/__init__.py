"""Signals whose spikes are known: simulated, aligned and scored."""
