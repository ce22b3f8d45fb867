"""Rendered clips with exact ground truth (numpy and OpenCV only)."""
