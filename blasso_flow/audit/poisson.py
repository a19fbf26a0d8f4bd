"""The independent check of a result of the Poisson loss: objective, feasible dual point and gap, for `audit` only.

    J = sum m - y + y log(y / m) + strength sum w,    u = 1 - a y / m,    D = sum y log(1 - u)

D is a lower bound of every J where -<u, phi_x> <= strength on the whole domain and <u, B> >= 0 for every column of the
background, none of which is negative, nor its coefficient. With S >= 1 a bound of sup <y / m - 1, phi_x> / strength and a
filter >= 0, a = 1 / S is feasible for the spikes, and sum B / sum B y / m for a column.
Plain numpy; imports nothing but the bound, the part of the domain and the filter, as data.
"""

from __future__ import annotations

import math

import numpy as np

from blasso_flow.audit.bound import Bound, bound_certificate
from blasso_flow.audit.parts import Part
from blasso_flow.data.signals import FloatArray
from blasso_flow.filters.superposition import filtered

ROUNDING = 8 * float(np.finfo(np.float64).eps)


def prove_poisson(
    part: Part, counts: FloatArray, present: FloatArray, columns: FloatArray, coefficients: FloatArray, slack: float
) -> tuple[float, float, float, Bound, float]:
    """Own objective, dual value, relative gap, bound, and the relative rounding of the objective.

    ``part`` is the whole domain with its filter, strength and spikes; ``counts`` (N,), ``present`` (N,) 0 where missing; the
    background is ``columns`` (N, B) times ``coefficients`` (B,). ``slack`` is what the bound of the certificate may add to the
    gap by being no supremum.
    """
    filter, strength = part.filter, part.strength
    penalty = strength * float(part.weight.sum())
    model = (filtered(filter, part.position, part.weight, counts.size) + columns @ coefficients) * present
    seen = counts > 0
    if coefficients.min(initial=0.0) < 0 or columns.min(initial=0.0) < 0 or not (model[seen] > 0).all():
        return math.inf, -math.inf, math.inf, Bound(math.inf, math.inf, 0), 0.0
    y, m = counts[seen], model[seen]
    logs = y * np.log(y / m)
    objective = math.fsum(model) - math.fsum(y) + math.fsum(logs) + penalty
    ratio = np.zeros(counts.size)
    ratio[seen] = y / m
    slack *= max(objective, 1e-300) / max(y.sum(), 1.0)
    bound = bound_certificate(filter, present - ratio, strength, part.domain, True, slack)
    # a table's rounding may make responses as low as -1e-9 of the peak: a = 0 then costs this much of the strength
    lowest = 1e-9 * float(np.abs(filter.coefficients[0]).max()) * filter.taps / strength
    scale = 1.0 if bound.supremum <= 1 else (1 - lowest) / (bound.supremum - lowest)
    for column in columns.T:
        along = math.fsum(column * ratio)
        if along > 0:
            scale = min(scale, math.fsum(column * present) / along * (1 - ROUNDING))
    dual_value = math.fsum(y * np.log(scale * ratio[seen]))
    rounding = ROUNDING * 8 * (float(np.abs(model).sum() + y.sum() + np.abs(logs).sum()) + penalty)
    if objective <= rounding:
        return objective, dual_value, 0.0, bound, 0.0
    return objective, dual_value, (max(objective - dual_value, 0.0) + rounding) / objective, bound, rounding / objective
