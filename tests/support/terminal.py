"""kubectl as a user at a terminal has it."""

import subprocess

from kvdev.state import ClusterState


class Kubectl:
    """kubectl(*arguments, stdin="") -> what it says, and its exit code."""

    def __init__(self, state: ClusterState) -> None:
        self._command = [str(state.programs / "kubectl"), f"--kubeconfig={state.kubeconfig}"]

    def __call__(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._command, *arguments], input=stdin, capture_output=True, text=True, check=False, timeout=60
        )
