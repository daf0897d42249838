"""The sections of a report: each is a function from the facts of a run to a `Section`, in a module of its own."""
