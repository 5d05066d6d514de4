"""Measurements of the product; see __main__.py."""
