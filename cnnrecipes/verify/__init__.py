"""Verification of bit-exact resume."""
