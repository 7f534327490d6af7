"""What an alert is, wherever it comes from."""
