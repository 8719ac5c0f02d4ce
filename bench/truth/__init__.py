"""What bench/model.py is made of: `machine` starts and watches processes, `steps` is the pod with a stopwatch, `beds`
are the pods that are measured, `drive` sends a load at them, `calibration` measures what the model is told, `pages`
writes what was found."""
