"""The road of a signal: settings, noise, strength, certified solve and refit of each channel, filters fitted to the data."""
