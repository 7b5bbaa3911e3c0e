"""Shared helpers: errors, times, names, files, progress, text."""
