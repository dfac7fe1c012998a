"""Doors to services of others, each with its package in one file; an extra brings the package."""
