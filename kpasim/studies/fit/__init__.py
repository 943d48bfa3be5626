"""Finding a model's numbers in measurements: the parts of ``studies.calibrate``."""
