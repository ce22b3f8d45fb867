"""Masks and logits of one eye turned into measurements: contours, ellipses, signals, states. numpy only."""
