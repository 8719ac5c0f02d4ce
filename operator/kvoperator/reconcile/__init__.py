"""One pass: observe -> decide -> act -> report. `cluster.py` is the pass; `queue.py` says when there is one."""
