"""Services of the Virtual Observatory: cone search, SIA 2, ObsTAP, DataLink, light curves.

Belongs here: reading the requests of the IVOA's protocols, and answering them as VOTable. Doesn't:
the server (see `contimg_resources.dashboard`), the columns of sources and candidates (see
`contimg_resources.export.tables`).
"""
