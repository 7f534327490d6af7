"""The agent: reads one computer's health, shows it to Prometheus and streams it to a collector."""

__version__ = "0.1.0"
