"""Shared utilities: atomic file writes, the cache folder, remote files, downloads, plugins, the cluster, console."""
