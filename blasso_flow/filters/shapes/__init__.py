"""One small file a filter: its impulse response, its parameters, and the function that names it in Python."""
