"""What a system's latency will be, computed: waits by Erlang C and Whitt, laws on a grid convolved by FFT."""

from kvplan.model.prediction import ClassPrediction, Latency, Part, Prediction, StationLoad

__all__ = ["ClassPrediction", "Latency", "Part", "Prediction", "StationLoad"]
