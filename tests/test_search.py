"""Search: what it finds, compared with a naive search that reads every text, and the places that it shows."""

import functools
import random
import re
import unicodedata
import unittest
from typing import Dict, List, NamedTuple, Optional, Sequence

from support import DatabaseTestCase

import database
import work_order
from users import InvalidInputError, Session
from work_order import Filter, Query, Sort, Status

# A naive search, written from what the design says


class Text(NamedTuple):
    """What is searched of a work order: whose it is, and its title, description, comments and notes."""

    requester: str
    parts: List[str]


SPACELESS = ("CJK", "HIRAGANA", "KATAKANA", "THAI CHARACTER", "LAO ", "MYANMAR", "KHMER")
PLAIN = {"ł": "l", "đ": "d", "ø": "o", "ı": "i", "–": "-", "—": "-", "’": "'", "ʼ": "'"}


@functools.cache
def folded(text: str) -> str:
    """Return the text without case and accents, each character of a script without spaces as a word of its own."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    plain = "".join(PLAIN.get(each, each) for each in decomposed if not "\u0300" <= each <= "\u036f")
    composed, spaced = unicodedata.normalize("NFC", plain), ""
    for character in composed:
        is_apart = spaced and (is_spaceless(character) or is_spaceless(spaced[-1])) and not is_mark(character)
        spaced += f" {character}" if is_apart else character
    return re.sub(" +", " ", spaced)


def is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] == "M"


def is_spaceless(character: str) -> bool:
    return unicodedata.name(character, "").startswith(SPACELESS)


def is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNM"


@functools.cache
def words_of(text: str) -> List[str]:
    """Return the runs of letters and digits of a folded text."""
    return "".join(each if is_letter(each) else " " for each in text).split()


def is_begun(words: Sequence[str], parts: Sequence[str], is_open: bool) -> bool:
    """Return whether the parts of a word follow each other in a text, the last one as a beginning if it `is_open`."""
    return any(
        following[:-1] == parts[:-1] and (following[-1].startswith(parts[-1]) if is_open else following == parts)
        for start in range(len(words) - len(parts) + 1)
        for following in [words[start : start + len(parts)]]
    )


def has_word(text: Text, word: str) -> bool:
    """Return whether a word stands in the text, or begins one there; one with other signs in it as it is."""
    whole, parts = folded("\n".join(text.parts)), words_of(word)
    if " ".join(parts) != word and word not in whole:
        return False
    joined = [each.replace("'", "") for each in re.findall(r"\b[^\W_]+(?:'[^\W_]+)+", whole)]
    return not parts or any(
        is_begun(words, parts, is_letter(word[-1])) for words in (words_of(whole), *([each] for each in joined))
    )


def naive_search(texts: Dict[int, Text], query: str, requester: Optional[str] = None) -> List[int]:
    """Return the ids of what a search finds, newest first; a user finds only their own."""
    words = [folded(word) for word in query.split()]
    seen = {number: text for number, text in texts.items() if requester in (None, text.requester)}
    found = [number for number, text in seen.items() if all(has_word(text, word) for word in words)]
    found = found or [
        number for number, text in seen.items() if all(word in folded("\n".join(text.parts)) for word in words)
    ]
    return sorted(found, reverse=True)


# What the texts and the questions are made of
VOCABULARY = """
    printer Printing print Drucker Netzwerkkabel Kabel Straße STRASSE Müller muller Über überhitzt naïve
    café CAFÉ Łukasz łódź Øresund đak ılık ISTANBUL Ångström smørrebrød O'Reilly o’neill d'Arc
    rock-n-roll e–mail wi-fi c++ C# .NET résumé 10.0.0.1 10.0.0.12 192.168.0.1 #12 50% a/b C:\\temp
    user@example.org 3,5 v2.0 -foo (bar) "quoted" it's don't _x_ a_b 打印机 打印 网络 ネットワーク バス ハス
    パス プリンター ภาษาไทย ไทย 한국어 한글 हिन्दी नेटवर्क العربية שלום Ελληνικά ελληνικα Привет ёлка елка İzmir ﬁle
    file ½ ² 12 123 1234 x y zz Tiếng Việt ß ss ſ 👾 👩‍💻 ™ TM Σίσυφος σισυφος
""".split()


class NaiveTest(DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.random = random.Random(23)
        self.texts: Dict[int, Text] = {}
        sessions = {"uma": self.uma, "ugo": self.ugo}
        for _ in range(60):
            requester = self.random.choice(tuple(sessions))
            title, description = self.sentence(3), self.sentence(self.random.randrange(12))
            shown = self.create(sessions[requester], title, description)
            parts = [title, description]
            for _ in range(self.random.randrange(3)):
                parts.append(self.sentence(5))
                work_order.comment(sessions[requester], shown.id, parts[-1])
            if self.random.random() < 0.3:
                parts.append(self.sentence(4))
                self.change_status(self.max, shown.id, Status.ON_HOLD, parts[-1])
            self.texts[shown.id] = Text(requester, parts)

    def sentence(self, length: int) -> str:
        return " ".join(self.random.choice(VOCABULARY) for _ in range(length))

    def question(self) -> str:
        """Return one to three words, each whole, the beginning of one, a part of one, or in other capitals."""
        words = []
        for _ in range(self.random.choice((1, 1, 1, 2, 3))):
            word = self.random.choice(VOCABULARY)
            start = self.random.randrange(len(word)) if self.random.random() < 0.3 else 0
            end = self.random.randrange(start + 1, len(word) + 1) if self.random.random() < 0.6 else len(word)
            word = word[start:end]
            words.append(self.random.choice((str, str.upper, str.lower))(word))
        return " ".join(words)

    def found(self, session: Session, text: str, **changes: object) -> List[int]:
        return self.ids(session, work_order.search(session, text)._replace(**changes))  # type: ignore[arg-type]

    def test_it_finds_what_a_naive_search_finds(self) -> None:
        differences = []
        for _ in range(400):
            text = self.question()
            for session, requester in ((self.max, None), (self.uma, "uma")):
                found, expected = self.found(session, text), naive_search(self.texts, text, requester)
                if found != expected:
                    differences.append((text, requester, set(found) ^ set(expected)))
        self.assertEqual(differences, [])

    def test_a_filter_narrows_it_and_an_order_sorts_it(self) -> None:
        listed = {sort: self.ids(self.max, Query(sort=sort)) for sort in Sort}
        held = self.ids(self.max, Query(Filter(status=Status.ON_HOLD)))
        for _ in range(40):
            text = self.question()
            expected = naive_search(self.texts, text)
            for sort in Sort:
                in_order = [number for number in listed[sort] if number in expected]
                self.assertEqual(self.found(self.max, text, sort=sort), in_order, (text, sort))
            narrowed = self.found(self.max, text, filter=Filter(status=Status.ON_HOLD))
            self.assertEqual(narrowed, [number for number in expected if number in held], text)

    def test_its_pages_have_every_hit_once(self) -> None:
        for text in ("print", "10.0.0.1", "kabel", "a"):
            query = work_order.search(self.max, text)
            for sort in Sort:
                whole, pages = self.ids(self.max, query._replace(sort=sort)), []
                page = work_order.find(self.max, query._replace(sort=sort), None, 3)
                self.assertEqual(page.total, len(whole))
                while page.work_orders:
                    pages += [found.id for found in page.work_orders]
                    page = work_order.find(self.max, query._replace(sort=sort), page.work_orders[-1], 3)
                self.assertEqual(pages, whole, (text, sort))

    def test_it_stays_right_as_texts_change_and_work_orders_go_and_come_back(self) -> None:
        for number in (1, 2, 3):
            self.change(self.max, number, work_order.TITLE, "Renamed entirely")
            self.texts[number].parts[0] = "Renamed entirely"
        work_order.delete(self.anna, 4)
        deleted = self.texts.pop(4)
        for text in ("renamed", "entire", *(self.question() for _ in range(40))):
            self.assertEqual(self.found(self.max, text), naive_search(self.texts, text), text)
        work_order.restore(self.anna, 4)
        self.assertIn(4, self.found(self.max, deleted.parts[0]))


# What it promises, by example


class ExampleTest(DatabaseTestCase):
    def assert_found(self, text: str, *questions: str, is_inside: bool = False) -> None:
        shown = self.create(self.uma, text)
        for question in questions:
            with self.subTest(text=text, question=question):
                query = work_order.search(self.max, question)
                self.assertIn(shown.id, self.ids(self.max, query))
                self.assertEqual(query.is_inside, is_inside)

    def assert_not_found(self, text: str, *questions: str) -> None:
        shown = self.create(self.uma, text)
        for question in questions:
            with self.subTest(text=text, question=question):
                self.assertNotIn(shown.id, self.ids(self.max, work_order.search(self.max, question)))

    def test_a_word_is_found_by_its_beginning_whatever_its_case_and_accents(self) -> None:
        self.assert_found("The printer jams", "print", "PRINTER", "jam printer")
        self.assert_found("Bàn phím tiếng Việt", "tieng viet", "tiếng Việt", "TIENG")
        self.assert_found("Straße 7", "strasse", "STRASSE", "straße")
        self.assert_found("Call Łukasz", "lukasz", "łukasz")

    def test_a_name_with_an_apostrophe_is_found_joined_and_in_its_parts(self) -> None:
        self.assert_found("Ask O'Reilly", "oreilly", "reilly", "o'reilly", "O’Reilly")

    def test_a_word_inside_another_is_found_where_no_word_begins_with_it(self) -> None:
        self.assert_found("Das Netzwerkkabel", "werk kabel", "zwerk", is_inside=True)

    def test_a_word_with_other_signs_has_to_stand_there_as_it_is(self) -> None:
        self.assert_found("A c++ compiler on 10.0.0.1", "c++", "10.0.0.1", "C++ compiler")
        self.assert_not_found("A cat with 10 of 0, 0 and 1", "c++", "10.0.0.1")

    def test_scripts_without_spaces_are_found_wherever_they_stand(self) -> None:
        self.assert_found("三楼的打印机坏了", "打印机", "打印", "楼的", "打印 坏了")
        self.assert_found("新しいバスが来た", "バス")
        self.assert_not_found("蓮はハスと読む", "バス")

    def test_the_old_id_of_an_imported_one_is_a_word_of_it(self) -> None:
        shown = self.create(self.uma)
        self.connection.execute("UPDATE work_orders SET source = 'servicenow', source_id = 'INC0012345'")
        with database.transaction(self.connection):
            database.refresh_derived(self.connection, shown.id)
        self.assertEqual(self.ids(self.max, work_order.search(self.max, "inc0012345")), [shown.id])

    def test_words_of_others_do_not_decide_what_one_finds(self) -> None:
        self.create(self.ugo, "kabel")
        shown = self.create(self.uma, "Netzwerkkabel")
        self.assertEqual(self.ids(self.uma, work_order.search(self.uma, "kabel")), [shown.id])

    def test_signs_alone_and_nothing_at_all_are_no_error(self) -> None:
        shown = self.create(self.uma, "100 % sure?")
        self.assertEqual(self.ids(self.uma, work_order.search(self.uma, "%")), [shown.id])
        for text in ('"', "'", "*", "\\", "(", "NEAR(", "AND", "a OR b", "-", "^", "{text}", "\u0301", "\u200b"):
            with self.subTest(text=text):
                self.ids(self.uma, work_order.search(self.uma, text))

    def test_too_long_a_text_and_one_with_nul_are_refused(self) -> None:
        for text in ("x" * 201, "a\0b"):
            with self.assertRaises(InvalidInputError):
                work_order.search(self.uma, text)


class ExcerptTest(DatabaseTestCase):
    def below(self, session: Session, text: str) -> Dict[int, List[str]]:
        return work_order.find(session, work_order.search(session, text), None, 20).below

    def test_a_comment_or_note_that_matched_is_shown_before_the_title(self) -> None:
        shown = self.create(self.uma, "Printer jams", "the printer of room 5")
        work_order.comment(self.uma, shown.id, "This printer is old")
        self.assertEqual(self.below(self.uma, "printer"), {shown.id: ["comment: This [printer] is old"]})
        self.change_status(self.max, shown.id, Status.ON_HOLD, "A new printer\nis ordered")
        self.assertEqual(self.below(self.uma, "printer"), {shown.id: ["note: A new [printer] is ordered"]})
        self.assertEqual(self.below(self.uma, "room"), {shown.id: ["description: the printer of [room] 5"]})

    def test_the_place_is_shown_as_it_was_written(self) -> None:
        shown = self.create(self.uma, "Title", "In der Großen Straße steht O'Reilly")
        for text, place in (
            ("strasse", "description: In der Großen [Straße] steht O'Reilly"),
            ("reilly", "description: ...In der Großen Straße steht O'[Reilly]"),
        ):
            with self.subTest(text=text):
                (below,) = self.below(self.uma, text)[shown.id]
                self.assertEqual(below.replace("...", ""), place.replace("...", ""))

    def test_a_long_text_is_cut_around_it(self) -> None:
        shown = self.create(self.uma, "Title", "x " * 2000 + "needle " + "y " * 2000)
        (below,) = self.below(self.uma, "needle")[shown.id]
        self.assertIn("[needle]", below)
        self.assertTrue(below.startswith("description: ..."), below)
        self.assertLess(len(below), 120)

    def test_a_page_of_long_texts_that_are_not_ascii_is_shown(self) -> None:
        for number in range(20):
            shown = self.create(self.uma, f"Long {number}", "é" * 10_000)
            work_order.comment(self.uma, shown.id, "ü" * 9_000 + " nadel")
        below = self.below(self.uma, "nadel")
        self.assertEqual(len(below), 20)


class ConversationTest(DatabaseTestCase):
    def test_the_menu_finds_shows_and_searches_again(self) -> None:
        for title in ("Netzwerkkabel fehlt", "Printer jams"):
            self.create(self.uma, title)
        output = self.run_as("uma", "Search work orders", "print", "Search again", "kabel", "#1", "Back")
        self.assertIn('1 work order: containing "print", newest first', output)
        self.assertIn('1 work order: containing "kabel" anywhere, newest first', output)
        self.assertIn("Work order #1: Netzwerkkabel fehlt", output)

    def test_what_is_not_there_is_said(self) -> None:
        output = self.run_as("uma", "Search work orders", "nowhere")
        self.assertIn("no work orders", output.lower())


if __name__ == "__main__":
    unittest.main()
