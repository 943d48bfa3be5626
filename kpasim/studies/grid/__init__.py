"""What a grid of settings comes to: the parts of ``studies.sweep``."""
