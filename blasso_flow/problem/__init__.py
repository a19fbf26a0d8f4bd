"""The problem of one channel: filter and domain as a geometry, loss, penalty, baseline and weights. Knows no solver."""
