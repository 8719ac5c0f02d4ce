"""Discrete events, exactly, on typed arrays (numba): clients, pods, caches and stores of all regions.

`state` what there is; `arrays` how compiled code gets at it; `heap` what comes next; `cache`, `pods`, `store`,
`clients` what happens there; `loop` plays it. Import order: loop -> store -> clients -> pods -> heap, cache -> arrays
-> state. Times in seconds since the start of the warm-up.
"""
