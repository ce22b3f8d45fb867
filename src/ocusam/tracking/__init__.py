"""Predictors over pictures and videos, and the memory bank that carries objects from frame to frame."""
