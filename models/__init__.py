"""Networks in and out: read layers, calibrate, replace layers by chains, compare outputs."""
