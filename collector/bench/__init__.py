"""Benches that are part of the product: many agents' streams, so that anybody can size an installation of their own."""
