"""The kinds of noise that a user may name, each in a few words: what `recover` checks, and what its help says."""

from __future__ import annotations

NOISES = {
    "white": "independent from sample to sample, with one sd or the stored ones",
    "counts": "that of counting: every sample's variance is the mean of the counts around it",
}
