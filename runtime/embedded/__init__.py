"""Embedded servers, which run inside the checkout if the environment names no others."""
