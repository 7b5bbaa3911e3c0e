"""What a CASA process does for tests of images."""

from pathlib import Path


def export_with_casa(fits_path: Path) -> list[Path]:
    """Let CASA import an image and export it in each of its ways."""
    from casatasks import exportfits, importfits

    directory = fits_path.with_name("casa")
    directory.mkdir()
    image = directory / "x.image"
    importfits(fitsimage=str(fits_path), imagename=str(image))
    ways: dict[str, dict[str, float]] = {
        "default": {},
        "velocity": {"velocity": True},
        "stokes_first": {"stokeslast": False},
        "without_degenerate_axes": {"dropdeg": True},
        "short": {"bitpix": 16, "minpix": -0.01, "maxpix": 0.4},
    }
    for name, options in ways.items():
        exportfits(imagename=str(image), fitsimage=str(directory / f"{name}.fits"), **options)
    return [directory / f"{name}.fits" for name in ways]
