"""Prometheus rule files run over our own head: loading, alert states, templates, schedule, checks and tests."""
