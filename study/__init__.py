"""Declarative ablation and benchmarking studies for video action recognition.

The packages, lowest first; a package imports only from the lines above it (``tests/test_architecture.py``):

    errors, registry, seeding
    spec                    what is asked: schema, loading, grids, identity; light, never imports torch
    data | models           siblings that never import each other
    training | cost         where the two meet; neither knows Ray or MLflow
    running                 plan and run trials; ``ray_tune`` is the only file that imports Ray
    tracking                the only package that imports MLflow
    analysis                frames in, frames out
    reporting               tables and figures; reads frames, never runs anything
    commands, cli           put the parts together
"""

__version__ = "0.1.0"
