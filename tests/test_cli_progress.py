"""The bar of a run: one line, whatever the width of the terminal."""

from blasso_flow.cli.progress import Log, Progress


def progress(done: int, spikes: int = 251) -> Progress:
    bar = Progress("photon.h5", 200, 0, shown=True, log=Log())
    bar.done, bar.spikes, bar.worst = done, spikes, 9.2e-12
    return bar


def test_bar_fits_in_the_terminal_and_tells_the_share_first() -> None:
    for width in (20, 40, 80, 200):
        assert len(progress(100).bar(width)) < width
    assert "100/200" in progress(100).bar(40)


def test_bar_in_eighty_columns_has_everything() -> None:
    line = progress(100).bar(80)
    assert all(word in line for word in ("[##", "photon.h5", "100/200", "left", "251 spikes", "worst gap 9.2e-12", "/s"))


def test_bar_is_full_at_the_end() -> None:
    assert progress(200).bar(200).startswith("[" + "#" * 20 + "]")
    assert progress(1).bar(200).startswith("[" + "-" * 20 + "]")
