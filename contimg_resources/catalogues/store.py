"""Store catalogues, one file each.

Belongs here: writing and replacing whole files. Doesn't: their contents.
"""

from pathlib import Path

from contimg_resources.catalogues.columns import Given
from contimg_resources.catalogues.model import CatalogueFacts, CatalogueSources
from contimg_resources.catalogues.parquet import FORMAT, Catalogue, write_catalogue
from contimg_resources.catalogues.reading import read_catalogue
from contimg_resources.core.checksums import content_checksum
from contimg_resources.core.errors import CatalogueError
from contimg_resources.core.naming import check_name

_SUFFIX = ".parquet"


class CatalogueStore:
    """The catalogues in one directory, which is created with the first catalogue."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> tuple[str, ...]:
        """Return the names of the catalogues."""
        return tuple(sorted(p.stem for p in self.root.glob(f"[!.]*{_SUFFIX}")))

    def open(self, name: str) -> Catalogue:
        """Open a catalogue.

        Raises
        ------
        CatalogueError
            If there is none of this name; the message lists the existing ones.
        """
        path = self._path(name)
        if not path.is_file():
            there = ", ".join(self.names())
            raise CatalogueError(
                f"there is no catalogue {name!r} in {self.root}; "
                + (f"there are: {there}" if there else "`contimg catalogue` adds one"),
                name=name,
            )
        return Catalogue(path)

    def add(
        self,
        name: str,
        file: Path,
        survey: str = "auto",
        origin: str = "",
        given: Given | None = None,
    ) -> CatalogueFacts:
        """Read a file and store it as a catalogue; one of the same name is replaced.

        The file may be FITS, VOTable, Parquet, or text of many kinds, also gzipped; an empty
        `origin` means the file itself. See `read_catalogue` for the others.

        Raises
        ------
        CatalogueError
            If the file isn't a catalogue.
        """
        read = read_catalogue(file, check_name(name, "catalogue name"), survey, given)
        facts = CatalogueFacts(
            name=name,
            survey=read.survey,
            origin=origin or str(file),
            checksum=content_checksum(file),
            n_sources=len(read.sources),
            schema_version=FORMAT.version,
            notes=read.notes,
        )
        self.put(read.sources, facts)
        return facts

    def put(self, sources: CatalogueSources, facts: CatalogueFacts) -> None:
        """Store sources as a catalogue, completely or not at all."""
        write_catalogue(self._path(facts.name), sources, facts)

    def remove(self, name: str) -> None:
        """Remove a catalogue.

        Raises
        ------
        CatalogueError
            If there is none of this name.
        """
        self.open(name).path.unlink()

    def _path(self, name: str) -> Path:
        return self.root / f"{check_name(name, 'catalogue name')}{_SUFFIX}"
