"""The demonstration: a real observation, then a simulated night through the real platform.

Belongs here: preparing both acts, following them, comparing with what is published or was put in.
Doesn't: anything of its own for calibrating or imaging; it calls what the platform calls.
"""
