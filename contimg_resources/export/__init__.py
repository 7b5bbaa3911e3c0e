"""JSON documents and tables for dashboards and for downloads.

Belongs here: their contents, and writing them. Doesn't: making any product; drawing (see
`contimg_resources.dashboard`).
"""
