"""The kinds of noise that a user may name, each in a few words: what `recover` checks, and what its help says."""

from __future__ import annotations

NOISES = {
    "auto": "white, unless the residual of a first fit is coloured",
    "white": "independent from sample to sample, with one sd or the stored ones",
    "coloured": "each sample is predicted by those before: samples and filter are whitened together",
    "counts": "that of counting: every sample's variance is the mean of the counts around it",
}
