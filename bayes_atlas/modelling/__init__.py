"""The vocabulary of model files: partial pooling, the terms that laws share, and the noise of runs and of scores."""
