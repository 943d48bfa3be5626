"""What measured runs say of the experiment behind them: the parts of ``studies.compare``."""
