"""Frames in and out of files: decoding with time stamps, the three official resizes, encoding. No torch."""
