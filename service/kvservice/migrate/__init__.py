"""The schema of the Cassandra store: ordered files, and the runner that applies each once."""
