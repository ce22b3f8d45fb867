"""The SAM 2 network, one file per box of the paper's figure, with no memory of past frames.

Every function here works on one frame and receives what earlier frames left behind as an argument. Frame
numbers, object ids and files are unknown to this package. Parameter names and shapes are those of the
published checkpoints.
"""
