"""MeasurementSets, our own and others': their layout, their large columns, averages of them."""
