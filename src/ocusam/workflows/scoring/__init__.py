"""Scores against truth: annotated recordings, and folders of masks as DAVIS and SA-V have them."""
