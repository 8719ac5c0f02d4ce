"""What a system's latency will be, computed: waits by Erlang C and Whitt, laws on a grid convolved by FFT."""

from kvplan.model.grid import COARSE, FINE
from kvplan.model.predict import predict
from kvplan.model.prediction import ClassPrediction, Latency, Part, Prediction, StationLoad

__all__ = ["COARSE", "FINE", "ClassPrediction", "Latency", "Part", "Prediction", "StationLoad", "predict"]
