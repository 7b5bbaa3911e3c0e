"""Tags, comments and favourites of sources and candidates in the products store.

Belongs here: their records, adding, withdrawing and listing them. Doesn't: marks of candidates (see
`events`), who may annotate.

Rows are only added: the last row about a tag or a favourite counts, the others are its history.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from contimg_resources.core.errors import InvalidName
from contimg_resources.core.plain_text import plain, plain_line
from contimg_resources.core.times import isot_from_mjd
from contimg_resources.database import PartOfStore, now_mjd
from contimg_resources.database.records import Records, values_of
from contimg_resources.products.events import AnnotationKind, Subject
from contimg_resources.products.tables import annotations

#: Maximum number of characters of a tag, a comment, and the id of a source.
LONGEST_TAG, LONGEST_COMMENT, LONGEST_ID = 40, 2000, 200
#: Maximum number of tags of one source or candidate.
MOST_TAGS = 20


@dataclass(frozen=True)
class Annotation:
    """A person's tag or comment, or that it is one of the person's favourites."""

    subject: Subject  #: Whether a source or a candidate is annotated.
    subject_id: str  #: Its id.
    kind: AnnotationKind  #: Kind of the annotation.
    text: str  #: The tag or comment; empty for a favourite.
    by: str  #: Name of the person.
    is_withdrawn: bool = False  #: Whether a tag or favourite is taken away.
    created_mjd: float = 0.0  #: When it was made, MJD in days; set by the store.


ANNOTATIONS = Records(Annotation, annotations, InvalidName)


@dataclass(frozen=True)
class Annotated:
    """The present annotations of a source or candidate, each in order of time."""

    tags: tuple[Annotation, ...] = ()  #: Each tag once, by whoever added it.
    favourites: tuple[Annotation, ...] = ()  #: One for each person.
    comments: tuple[Annotation, ...] = ()  #: Comments.

    @property
    def is_empty(self) -> bool:
        """Whether there is no annotation."""
        return not (self.tags or self.favourites or self.comments)

    def as_document(self, most_comments: int | None = None) -> dict[str, Any]:
        """Return it as the documents and the dashboard have it, with the newest comments."""
        first = 0 if most_comments is None else max(0, len(self.comments) - most_comments)
        return {
            "tags": [_told(a) for a in self.tags],
            "favourite_of": [a.by for a in self.favourites],
            "comments": [_told(a) for a in self.comments[first:]],
        }


Annotations = dict[tuple[Subject, str], Annotated]


def present(records: Iterable[Annotation]) -> Annotations:
    """Return the present annotations by subject; `records` are in order of time."""
    last: dict[tuple[Any, ...], Annotation] = {}
    for number, one in enumerate(records):
        which: object = {
            AnnotationKind.TAG: one.text,
            AnnotationKind.FAVOURITE: one.by,
            AnnotationKind.COMMENT: number,
        }[one.kind]
        place = (one.subject, one.subject_id, one.kind, which)
        if one.is_withdrawn:
            last.pop(place, None)
        else:
            last.setdefault(place, one)
    found: dict[tuple[Subject, str], dict[AnnotationKind, list[Annotation]]] = {}
    for one in last.values():
        kinds = found.setdefault((one.subject, one.subject_id), {k: [] for k in AnnotationKind})
        kinds[one.kind].append(one)
    return {
        subject: Annotated(
            tuple(kinds[AnnotationKind.TAG]),
            tuple(kinds[AnnotationKind.FAVOURITE]),
            tuple(kinds[AnnotationKind.COMMENT]),
        )
        for subject, kinds in found.items()
    }


class AnnotationProducts(PartOfStore):
    """The annotations of the products store."""

    def put(self, annotation: Annotation) -> Annotated:
        """Add or withdraw an annotation, and return all of its subject; known ones change nothing.

        Raises
        ------
        InvalidName
            If it has no text or too much of it, or there are too many tags.
        """
        made = replace(annotation, text=_checked(annotation), created_mjd=now_mjd())
        subject = (annotation.subject, annotation.subject_id)
        with self._database.write() as connection:
            rows = connection.execute(_of(*subject)).all()
            known = [ANNOTATIONS.read(row) for row in rows]
            before = present(known).get(subject, Annotated())
            after = present([*known, made]).get(subject, Annotated())
            if len(after.tags) > max(MOST_TAGS, len(before.tags)):
                raise InvalidName(f"{annotation.subject_id} has {MOST_TAGS} tags, the maximum")
            if after != before:
                connection.execute(sa.insert(annotations).values(**values_of(made)))
        return after

    def list(self) -> tuple[Annotation, ...]:
        """Return all annotations, also withdrawn ones, in order of time."""
        query = ANNOTATIONS.query.order_by(annotations.c.number)
        return tuple(self._database.all(query, ANNOTATIONS.read))

    def present(self) -> Annotations:
        """Return the present annotations by subject."""
        return present(self.list())

    def of(self, subject: Subject, subject_id: str) -> Annotated:
        """Return the present annotations of a source or candidate."""
        records = self._database.all(_of(subject, subject_id), ANNOTATIONS.read)
        return present(records).get((subject, subject_id), Annotated())


def _of(subject: Subject, subject_id: str) -> sa.Select[Any]:
    columns = annotations.c
    return ANNOTATIONS.query.where(
        columns.subject == subject, columns.subject_id == subject_id
    ).order_by(columns.number)


def _told(one: Annotation) -> dict[str, str]:
    return {"text": one.text, "by": one.by, "utc": f"{isot_from_mjd(one.created_mjd)}Z"}


def _checked(annotation: Annotation) -> str:
    """Return the text of an annotation in its one form.

    Raises
    ------
    InvalidName
        If it is none, or too long.
    """
    kind, text = annotation.kind, annotation.text
    name = annotation.subject_id
    if not 0 < len(name) <= LONGEST_ID or plain_line(name) != name:
        raise InvalidName(
            f"the id of a {annotation.subject} is one line of up to {LONGEST_ID} characters"
        )
    if kind is AnnotationKind.FAVOURITE:
        return ""
    if kind is AnnotationKind.COMMENT and annotation.is_withdrawn:
        raise InvalidName("a comment stays")
    is_tag = kind is AnnotationKind.TAG
    found = plain_line(" ".join(text.split())).lower() if is_tag else plain(text.strip())
    longest = LONGEST_TAG if is_tag else LONGEST_COMMENT
    if not 0 < len(found) <= longest:
        raise InvalidName(f"a {kind} has 1 to {longest} characters")
    return found
