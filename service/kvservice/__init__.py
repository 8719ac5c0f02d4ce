"""The data plane: a FastAPI service that keeps records behind a region's cache and store."""
