"""Live values for the web, served on a socket of this machine."""
