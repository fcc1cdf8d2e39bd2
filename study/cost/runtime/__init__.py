"""Speed and memory of networks, measured: nothing here knows Ray, MLflow or a data set.

clocks      what a pass takes: process CPU time and wall time, or CUDA events
device      what networks run on
memory      what a pass takes at most of memory
workload    a network with its input, ready to run: built, compiled, captured before any clock starts
rounds      every network once a round, in an order drawn anew
session     all of it in one process
"""
