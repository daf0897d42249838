"""Shared utilities: atomic file writes, the cache folder, remote files, downloads, figures, console output."""
