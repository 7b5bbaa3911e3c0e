"""What several folders share: errors, times, names, files, progress, text."""
