"""Making weights: clips, simulated clicks, losses, the loop, and scores against ground truth."""
