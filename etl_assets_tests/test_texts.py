"""Texts with values: in English, or translated with their values."""

from __future__ import annotations

from etl_assets.texts import SEPARATOR, Text

CHINESE = {"{order} left: {reason}": "{order} 离开：{reason}", "cancelled": "已取消", SEPARATOR: "、"}


def test_values_stand_in_the_translated_text_and_are_translated_where_they_are_texts() -> None:
    text = Text("{order} left: {reason}", {"order": "7", "reason": Text("cancelled")})
    assert str(text) == "7 left: cancelled"
    assert text.translated(lambda template: CHINESE.get(template, template)) == "7 离开：已取消"


def test_a_value_is_never_read_as_a_template() -> None:
    assert str(Text("{note}", {"note": "{note} {0} %s"})) == "{note} {0} %s"


def test_texts_of_a_list_are_joined_as_in_the_language() -> None:
    text = Text("{all}", {"all": (Text("a"), Text("cancelled"))})
    assert str(text) == "a, cancelled"
    assert text.translated(lambda template: CHINESE.get(template, template)) == "a、已取消"
