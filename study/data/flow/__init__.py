"""Optical flow: computing it, keeping it as the field does, reading it."""
