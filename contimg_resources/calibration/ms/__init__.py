"""MeasurementSets of ours and of others: their layout, their large columns, averages of them."""
