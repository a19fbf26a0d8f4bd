"""From the certified measure to the answer: refit, pruning, error bars, widths, rates."""
