"""Texts in Liquid, and approved templates."""
