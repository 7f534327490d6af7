"""The collector: receives the agents' streams, judges them by rules and keeps the helpdesk's tickets."""
