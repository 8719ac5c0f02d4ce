"""What a system's latency is, played event by event: the truth that `model` is held against."""
