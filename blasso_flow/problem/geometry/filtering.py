"""Filtering a long curve by FFT of overlapping blocks, of which only those that have changed are transformed anew."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blasso_flow import threads
from blasso_flow.data.signals import FloatArray

SHORTEST_BLOCK = 2048  # samples an FFT takes at least
BLOCK_NUMBERS = 1 << 18  # samples transformed at a time


def stale_pieces(stale: NDArray[np.bool_], most: int) -> list[tuple[int, int]]:
    """Ranges of at most so many flags, but one at least, in which any is set; a single range in any case."""
    every = threads.pieces(stale.size, max(1, most))
    return every if len(every) == 1 else [piece for piece in every if stale[slice(*piece)].any()]


def fast_length(taps: int, size: int) -> int:
    """Samples an FFT takes at a time to filter ``size`` of them with so many taps."""
    from scipy.fft import next_fast_len

    return int(next_fast_len(min(max(4 * taps, SHORTEST_BLOCK), size), real=True))


def correlate_blocks(values: FloatArray, taps: FloatArray, length: int, stale: NDArray[np.bool_], out: FloatArray) -> None:
    """out[o, i, q] = sum_k taps[q, o, k] values[i + k] by FFT of overlapping blocks, each transformed once for all taps.

    Only ``stale`` blocks are written; a block takes ``length`` samples in and gives ``length - W + 1``.
    """
    from scipy.fft import irfft, rfft

    width = taps.shape[-1]
    step = length - width + 1
    responses = rfft(taps[..., ::-1], length, axis=-1)

    def correlated(first: int, last: int) -> None:
        chosen = first + np.nonzero(stale[first:last])[0]
        windows = np.zeros((chosen.size, length))
        for block, window in zip(chosen, windows, strict=True):
            part = values[block * step : block * step + length]
            window[: part.size] = part
        spectra = rfft(windows, axis=-1)
        for q in range(taps.shape[0]):
            for order in range(taps.shape[1]):
                valid = irfft(spectra * responses[q, order], length, axis=-1)[:, width - 1 :]
                for block, row in zip(chosen, valid, strict=True):
                    target = out[order, block * step : (block + 1) * step, q]
                    target[:] = row[: target.size]

    threads.each(correlated, stale_pieces(stale, BLOCK_NUMBERS // length))
