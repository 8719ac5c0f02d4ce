"""Capacity planner and latency model: a pure library (numpy, scipy), usable without Kubernetes.

`laws` how long things take; `system` the path of a request through stations; `model` predicts its latency; `simulate`
plays it; `plan` sizes regions and costs them; `report` shows that. Knows nothing of the rest of the tree. Times are in
seconds, rates in requests per second, sizes in bytes.
"""
