"""What is asked: the schema of experiments, their loading, the grid, and the identity of a trial.

This package imports pydantic, ruamel.yaml and the standard library, nothing of the GPU stack.
"""
