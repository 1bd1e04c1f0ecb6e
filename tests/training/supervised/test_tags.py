"""AudioSet's kinds of sound that speak for a class or for `other`."""

from __future__ import annotations

import pytest

from quaclrs.errors import QuaclrsError
from quaclrs.labels import CLASS_NAMES, OTHER
from training.supervised.tags import audioset_kinds, tag_groups_of


def kinds_of(names: list[str]) -> dict[str, set[str]]:
    kinds = audioset_kinds()
    return {name: {kinds[number] for number in group} for name, group in zip(names, tag_groups_of(names), strict=True)}


def test_kinds_are_those_of_yamnet_in_its_order():
    kinds = audioset_kinds()
    assert len(set(kinds)) == 521
    # As its published table numbers them (yamnet_class_map.csv).
    numbers = {"Speech": 0, "Dog": 69, "Bark": 70, "Music": 132, "Siren": 390, "Field recording": 520}
    assert {name: kinds.index(name) for name in numbers} == numbers


def test_what_is_heard_in_a_class_speaks_for_it_and_all_else_for_other():
    kinds = kinds_of([*CLASS_NAMES, OTHER])
    assert {"Dog", "Bark", "Howl"} <= kinds["dog_bark"] and not {"Animal", "Cat"} & kinds["dog_bark"]
    assert {"Siren", "Ambulance (siren)"} <= kinds["ambulance"] == kinds["police"] == kinds["firetruck"]
    assert {"Drum", "Singing", "Music"} <= kinds["street_music"] and "Church bell" not in kinds["street_music"]
    assert {"Chicken, rooster", "Pig", "Cat", "Rain", "Church bell", "Computer keyboard"} <= kinds[OTHER]
    assert not kinds[OTHER] & {"Animal", "Noise", "Silence", "Outside, urban or manmade"}  # they say nothing
    speech = {"Speech", "Conversation", "Narration, monologue", "Speech synthesizer", "Whispering"}
    assert kinds["children_playing"] & kinds[OTHER] == speech  # of grown-ups as of children: it decides nothing
    for name in set(CLASS_NAMES) - {"children_playing"}:
        assert kinds[name] and not kinds[name] & kinds[OTHER], name


def test_groups_follow_the_order_of_the_classes():
    forward, backward = tag_groups_of(["dog_bark", OTHER]), tag_groups_of([OTHER, "dog_bark"])
    assert forward == backward[::-1]


def test_a_class_that_the_table_does_not_know_is_named():
    with pytest.raises(QuaclrsError, match=r"^--tags: tags_of_classes\.yaml says nothing of church_bell; add it"):
        tag_groups_of(["dog_bark", "church_bell", OTHER])


def test_a_table_of_ones_own_is_read_and_a_kind_that_there_is_not_is_named(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("sets: {bells: [Church bell, Bell]}\nclasses: {tower: [bells], rain: [Rain .. Rain on surface]}\n")
    kinds = audioset_kinds()
    tower, rain, other = tag_groups_of(["tower", "rain", OTHER], str(own))
    assert {kinds[number] for number in tower} == {"Church bell", "Bell"}
    assert {kinds[number] for number in rain} == {"Rain", "Raindrop", "Rain on surface"}
    assert len(other) == 521 - 5
    own.write_text("classes: {tower: [Church bell, Bell], other: [Bell]}\n")
    tower, other = tag_groups_of(["tower", OTHER], str(own))
    assert kinds.index("Bell") in other and len(other) == 521 - 1  # a kind may speak for a class and for other
    own.write_text("classes: {tower: [Church bells]}\n")
    with pytest.raises(
        QuaclrsError, match=r"^--tags .*own\.yaml: 'Church bells' is not in training/weights/audioset_kinds\.txt"
    ):
        tag_groups_of(["tower"], str(own))
    for form in (
        "sets:",
        "classes: [tower]",
        "classes: {tower: [3]}",
        "classes: {tower: Bell}",
        "sets: {bells: []}\nclasses: {tower: [bells .. Bell]}",
    ):
        own.write_text(form + "\n")
        with pytest.raises(QuaclrsError, match=r"^--tags .*own\.yaml: write it as tags_of_classes\.yaml"):
            tag_groups_of(["tower"], str(own))
    own.write_text("classes: {tower: [Church bell .. Bell]}\n")  # the other way round
    with pytest.raises(QuaclrsError, match=r"'Church bell \.\. Bell' is not in"):
        tag_groups_of(["tower"], str(own))
    with pytest.raises(QuaclrsError, match="give --tags a table"):
        tag_groups_of(["tower"], str(tmp_path / "absent.yaml"))
