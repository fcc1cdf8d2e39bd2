"""Kernels of our own for the CPU: C++ that is compiled at first use, and its calls."""
