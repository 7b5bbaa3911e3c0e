"""Documents for dashboards and for people's own tools.

Belongs here: what is in them, and writing them. Doesn't: making any product; drawing (see
`contimg_resources.dashboard`).
"""
