"""The drills' fixtures, for the embedded store."""

from drills import histories, http, new_client, settings_of_drills, start_altered_pod, start_relay

__all__ = ["histories", "http", "new_client", "settings_of_drills", "start_altered_pod", "start_relay"]
