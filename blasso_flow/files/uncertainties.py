"""The uncertainties that are stored beside a signal: which dataset holds them, and what they say of its samples.

Ours is ``noise_sd``. NeXus has ``NAME_errors``, ``errors`` for the signal of an NXdata group, and the attribute
``uncertainties`` that names a dataset; becquerel ``uncs`` beside ``counts``. A sample whose uncertainty is NaN or infinite is
missing; an uncertainty of 0 would make a sample exact, and is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

import h5py
import numpy as np

from blasso_flow.data.signals import FloatArray
from blasso_flow.errors import DataError
from blasso_flow.files.guard import checked, resolve, text_of
from blasso_flow.files.layout import NOISE
from blasso_flow.files.source import Source

SUFFIX = "_errors"
OF_GROUP = "errors"
ATTRIBUTE = "uncertainties"
OF_COUNTS = "uncs"
COUNTS = "counts"


def find(source: Source, dataset: h5py.Dataset, main: bool) -> h5py.Dataset | None:
    """The dataset that holds the uncertainties of another; ``main``: that one is the signal of its NXdata group.

    Raises `DataError` where an attribute names one that is not there.
    """
    above, _, name = str(dataset.name).rpartition("/")
    named = text_of(dataset, ATTRIBUTE)
    candidates = [NOISE] if main else []
    candidates += [named] if named else []
    candidates += [f"{name}{SUFFIX}"]
    candidates += [OF_GROUP] if main else []
    candidates += [OF_COUNTS] if name == COUNTS else []
    for candidate in candidates:
        node = resolve(source.file, candidate if candidate.startswith("/") else f"{above}/{candidate}", source.name)
        if isinstance(node, h5py.Dataset) and node.name != dataset.name:
            return checked(node, source.name)
        if candidate == named:
            raise DataError(f"{source.name}: {dataset.name} names uncertainties that are not there", received=named)
    return None


def without(datasets: Sequence[h5py.Dataset]) -> list[h5py.Dataset]:
    """Datasets, without those that hold the uncertainties of another one among them."""
    paths = {str(dataset.name) for dataset in datasets}
    of_another = set()
    for dataset in datasets:
        above, _, name = str(dataset.name).rpartition("/")
        named = text_of(dataset, ATTRIBUTE)
        of_another |= {f"{dataset.name}{SUFFIX}", named if named.startswith("/") else f"{above}/{named}"}
        of_another |= {f"{above}/{OF_COUNTS}"} if name == COUNTS else set()
    return [dataset for dataset in datasets if dataset.name not in of_another or paths <= of_another]


def applied(values: FloatArray, noise: FloatArray, where: str) -> tuple[FloatArray, FloatArray]:
    """Samples and their uncertainties, of one shape, those with one that is not finite missing (NaN).

    Raises `DataError` on an uncertainty that is not above 0.
    """
    known = np.isfinite(noise)
    bad = np.argwhere(known & ~np.isnan(values) & ~(noise > 0))
    if bad.size:
        place = tuple(int(index) for index in bad[0])
        raise DataError(
            f"{where} must be above 0",
            received=f"{noise[place]:.6g} at sample {', '.join(map(str, place))}",
            allowed="a number above 0, or NaN for a missing sample",
            mend="of counts, store at least 1; a sample that is not to be used is NaN",
        )
    return np.where(known, values, np.nan), np.where(known, noise, 1.0)
