"""What bench/model.py is made of: `machine` starts and watches processes, `drive` sends a load at them, `calibration`
measures what the model is told, `turns` plays the event loop, `pages` writes what was found."""
