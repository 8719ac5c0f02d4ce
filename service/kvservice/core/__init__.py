"""What a request means: envelope, clock, conditions, use cases. It knows the store and the cache as ports."""
