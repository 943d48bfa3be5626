"""The txt2img service that kpasim deploys; it knows nothing of the simulator."""
