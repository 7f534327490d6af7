"""The agents' door: identity, sessions, the engine thread and the process around them."""
