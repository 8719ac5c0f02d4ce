"""`kvctl calibrate`: what a running service's counters say of the times that a plan is made with. Only `source` does
I/O; `counts` reads a pod's counters, `split` parts its CPU by kinds of requests, `shape` finds how uneven times are,
`findings` makes the answer of it."""
