"""Command-line interface: a module for each group of commands; every command calls one public function."""
