"""The command line: arguments in, the same functions that the assets call, results out.

Belongs here: parsing, printing, exit codes, starting the platform.
Doesn't: code that an asset needs too.
"""
