"""Support for the other rooms: atomic files, the cache folder, remote files, downloads, figures, the console."""
