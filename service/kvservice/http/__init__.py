"""HTTP in front of the use cases: routes, problems, and the second port's pages."""
