"""Discrete events, exactly, on typed arrays (numba): clients, pods, caches and stores of all regions.

`state` what there is; `heap` what comes next; `cache`, `pods`, `store`, `clients` what happens there; `loop` plays it.
Import order: loop -> clients, store -> pods, cache -> heap -> state. Times in seconds since the start of the warm-up.
"""
