"""Tags, comments and favourites: several people's, kept with their history."""

from contextlib import closing
from pathlib import Path

import pytest

from contimg_resources.core.errors import InvalidName
from contimg_resources.products.annotations import MOST_TAGS, Annotation
from contimg_resources.products.events import AnnotationKind, Subject
from contimg_resources.products.store import ProductsStore

SOURCE = "nvss-013741+330935"
TAG, COMMENT, FAVOURITE = AnnotationKind.TAG, AnnotationKind.COMMENT, AnnotationKind.FAVOURITE


def note(
    kind: AnnotationKind, text: str = "", by: str = "ada", *, withdraw: bool = False
) -> Annotation:
    return Annotation(Subject.SOURCE, SOURCE, kind, text, by, is_withdrawn=withdraw)


def test_people_tag_comment_and_like_a_source(tmp_path: Path) -> None:
    file = tmp_path / "products.sqlite3"
    with closing(ProductsStore(str(file))) as store:
        put = store.annotations.put
        put(note(TAG, "  Seyfert   2 "))
        put(note(TAG, "seyfert 2", "bo"))  # the same tag: ada's
        put(note(TAG, "blend"))
        put(note(FAVOURITE))
        put(note(FAVOURITE, by="bo"))
        put(note(COMMENT, "double at 3 GHz\n"))
        put(note(COMMENT, "double at 3 GHz", "bo"))
        put(note(TAG, "Blend", "bo", withdraw=True))
        put(note(FAVOURITE, withdraw=True))
        # A candidate of the same name is something else.
        put(Annotation(Subject.CANDIDATE, SOURCE, TAG, "artefact", "bo"))
        assert len(store.annotations.list()) == 9
    with closing(ProductsStore(str(file), read_only=True)) as store:
        found = store.annotations.present()
        assert found[Subject.SOURCE, SOURCE] == store.annotations.of(Subject.SOURCE, SOURCE)
        told = found[Subject.SOURCE, SOURCE].as_document()
        assert [(t["text"], t["by"]) for t in told["tags"]] == [("seyfert 2", "ada")]
        assert told["favourite_of"] == ["bo"]
        said = [(c["text"], c["by"]) for c in told["comments"]]
        assert said == [("double at 3 GHz", "ada"), ("double at 3 GHz", "bo")]
        assert len(found[Subject.SOURCE, SOURCE].as_document(1)["comments"]) == 1
        assert [t.text for t in found[Subject.CANDIDATE, SOURCE].tags] == ["artefact"]


def test_what_is_withdrawn_can_be_added_again(tmp_path: Path) -> None:
    with closing(ProductsStore(str(tmp_path / "products.sqlite3"))) as store:
        for withdraw in (False, True, True, False):
            found = store.annotations.put(note(TAG, "blend", withdraw=withdraw))
            assert (found.tags == ()) is withdraw
        # Withdrawing what isn't there changes nothing.
        assert len(store.annotations.list()) == 3


def test_annotations_without_sense_are_refused(tmp_path: Path) -> None:
    with closing(ProductsStore(str(tmp_path / "products.sqlite3"))) as store:
        for number in range(MOST_TAGS):
            store.annotations.put(note(TAG, f"tag {number}"))
        for wrong, words in (
            (note(TAG, "one more"), "20 tags, the maximum"),
            (note(TAG, " "), "a tag has 1 to 40 characters"),
            (note(TAG, "x" * 41), "a tag has 1 to 40 characters"),
            (note(COMMENT, "x" * 2001), "a comment has 1 to 2000 characters"),
            (note(COMMENT, "hasty", withdraw=True), "a comment stays"),
            (Annotation(Subject.SOURCE, "a\nb", TAG, "x", "ada"), "the id of a source is one line"),
            (Annotation(Subject.SOURCE, "x" * 201, TAG, "x", "ada"), "up to 200 characters"),
        ):
            with pytest.raises(InvalidName, match=words):
                store.annotations.put(wrong)
        assert len(store.annotations.list()) == MOST_TAGS
