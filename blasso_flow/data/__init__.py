"""Plain data that everything speaks of: signals on their axes, spikes, reports, and results as columns. Nothing here computes."""
