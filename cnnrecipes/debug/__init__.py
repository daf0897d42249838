"""Tools that show what a network is and does: its cost, its fields of view, its activations, its picture."""
