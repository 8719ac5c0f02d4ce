"""The node agent: it plays every node of the embedded cluster and runs bound pods as local processes.

`python -m kvdev.agent --state DIR`; see `__main__`. One folder of state a pod, `pods/<uid>/`: `logs/`, `volumes/`,
`work/<container>/` (working directories) and, for pods that are given an account, a `kubeconfig`.
"""
