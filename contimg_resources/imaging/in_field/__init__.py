"""In-field calibration: gains of one observation from the catalogue's sources in its own field."""
