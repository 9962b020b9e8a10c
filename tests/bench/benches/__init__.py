"""One file per bar; each holds `measure(workshop, count)`, which yields report lines."""
