"""The products store: observations with their states, history and products.

Belongs here: states, history, artefacts, image statistics. Doesn't: making products.
"""
