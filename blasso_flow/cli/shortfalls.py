"""What a run that wrote everything still falls short of: proofs that were not reached, fits below what was required."""

from __future__ import annotations

from blasso_flow.cli.channels import Account
from blasso_flow.cli.outputs import Recording
from blasso_flow.errors import BlassoFlowError, UnconvergedError, UnfitError


def unconverged(recording: Recording, account: Account) -> list[BlassoFlowError]:
    """Channels that failed or did not reach the tolerance."""
    if account.first_bad is None:
        return []
    number, status, message = account.first_bad
    channels = account.overview.channels
    bad = channels - account.overview.statuses["converged"]
    what = f"{recording.name}: {bad} of {channels} channels did not converge; channel {number}: {status}"
    return [UnconvergedError(what, mend=message)]


def unfit(recording: Recording, account: Account, required: str | None) -> list[BlassoFlowError]:
    """Channels whose fit is below what is required; not those that failed, whose fit nobody knows."""
    if required is None or not (below := account.below(required)):
        return []
    number, sentence = account.first_below(required)
    what = f"{recording.name}: the fit of {below} of {account.overview.channels} channels is below --require-fit {required}"
    return [UnfitError(f"{what}; channel {number}: {sentence}")]


def of_stored(recording: Recording, required: str | None) -> list[BlassoFlowError]:
    """The same of a result that is there already."""
    if required is None:
        return []
    from blasso_flow.files import read_result

    return unfit(recording, Account.of(read_result(recording.result).recovery), required)
