"""Search: what it finds, compared with a naive search that reads every text, and the places that it shows."""

import random
import re
from typing import Dict, List

from support import DatabaseTestCase

import database
import work_order
from users import InvalidInputError
from work_order import Filter, Query, Sort, Status

VOCABULARY = """printer printing print jams Drucker Netzwerkkabel Kabel Werkstatt Werkzeug net network Internet file
    files profile 1 12 123 1234 21 x xy""".split()


def naive_search(texts: Dict[int, str], query: str) -> List[int]:
    """Return what has all words or words that begin so, else what has them anywhere, newest first."""
    words = query.lower().split()
    found = [number for number, text in texts.items() if all(re.search(rf"\b{word}", text) for word in words)]
    found = found or [number for number, text in texts.items() if all(word in text for word in words)]
    return sorted(found, reverse=True)


class NaiveTest(DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.random = random.Random(23)
        self.texts: Dict[int, str] = {}
        for number in range(1, 61):
            parts = [self.sentence(3), self.sentence(3), self.sentence(3), self.sentence(3)]
            self.create(self.ugo if number % 3 else self.uma, parts[0], parts[1])
            work_order.comment(self.max, number, parts[2])
            self.change_status(self.max, number, Status.ON_HOLD if number % 2 else Status.RESOLVED, parts[3])
            self.texts[number] = "\n".join(parts).lower()

    def sentence(self, length: int) -> str:
        return " ".join(self.random.choice(VOCABULARY) for _ in range(length))

    def questions(self, count: int) -> List[str]:
        """Return searches of one to three words, each whole or a part of one."""
        return [" ".join(self.part() for _ in range(self.random.choice((1, 1, 2, 3)))) for _ in range(count)]

    def part(self) -> str:
        word = self.random.choice(VOCABULARY)
        start = self.random.choice((0, 0, self.random.randrange(len(word))))
        return word[start : self.random.randrange(start + 1, len(word) + 1)]

    def assert_found(self, *questions: str) -> None:
        own = {number: text for number, text in self.texts.items() if number % 3 == 0}
        for session, texts in ((self.max, self.texts), (self.uma, own)):
            for text in questions:
                found = self.ids(session, work_order.search(session, text))
                self.assertEqual(found, naive_search(texts, text), text)

    def test_it_finds_what_a_naive_search_finds_also_after_texts_were_changed_or_deleted(self) -> None:
        self.assert_found(*self.questions(60))
        self.change(self.max, 1, work_order.TITLE, "Renamed entirely")
        self.texts[1] = "renamed entirely\n" + self.texts[1].partition("\n")[2]
        work_order.delete(self.anna, 3)
        deleted = self.texts.pop(3)
        self.assert_found("renamed", "entire", *deleted.split(), *self.questions(20))
        work_order.restore(self.anna, 3)
        self.texts[3] = deleted
        self.assert_found(*deleted.split())

    def test_a_filter_narrows_it_and_each_order_has_every_hit_once_by_pages(self) -> None:
        for status, sort in ((status, sort) for status in (None, Status.ON_HOLD) for sort in Sort):
            listed = self.ids(self.max, Query(Filter(status=status), sort))
            for text in ("print", "1", "werk", *self.questions(3)):
                query = work_order.search(self.max, text)._replace(filter=Filter(status=status), sort=sort)
                page, pages = work_order.find(self.max, query, None, 3), []
                while page.work_orders:
                    pages += [found.id for found in page.work_orders]
                    page = work_order.find(self.max, query, page.work_orders[-1], 3)
                expected = naive_search(self.texts, text)
                self.assertEqual(pages, [number for number in listed if number in expected], (text, sort, status))
                self.assertEqual(page.total, len(pages))


class ExampleTest(DatabaseTestCase):
    def assert_found(self, text: str, *questions: str, is_found: bool = True, is_inside: bool = False) -> None:
        shown = self.create(self.uma, text)
        for question in questions:
            query = work_order.search(self.uma, question)
            self.assertEqual(shown.id in self.ids(self.uma, query), is_found, question)
            self.assertEqual(query.is_inside, is_inside or not is_found, question)

    def test_case_accents_apostrophes_and_kinds_of_letters_do_not_matter(self) -> None:
        self.assert_found("Bàn phím tiếng Việt", "tieng viet", "tiếng Việt", "TIENG")
        self.assert_found("Straße 7: call Łukasz, Øresund", "strasse", "STRASSE", "straße", "lukasz", "łukasz", "ores")
        self.assert_found("Ask O'Reilly", "oreilly", "reilly", "o'reilly", "O’Reilly")
        self.assert_found("Σίσυφος, ёлка, ılık, İzmir, ﬁle", "σισυφοσ", "ΣΊΣΥΦΟΣ", "елка", "ILIK", "izmir", "file")
        self.assert_found("e–mail, नेटवर्क, 한국어, العربية, 👾", "e-mail", "E—MAIL", "नेट", "한국", "العرب", "👾")

    def test_a_word_inside_another_is_found_where_no_word_begins_so(self) -> None:
        self.create(self.ugo, "Kabel of somebody else")
        self.assert_found("Das Netzwerkkabel", "werk kabel", "zwerk", "kabel", is_inside=True)

    def test_a_word_with_other_signs_has_to_stand_there_as_it_is(self) -> None:
        self.assert_found("A cat with 10 of 0, 0 or 1 c", "c++", "10.0.0.1", "%", is_found=False)
        self.assert_found("A c++ compiler on 10.0.0.1: 99 % done", "c++", "10.0.0.1", "C++ compiler", "0.0.1", "%")
        for text in ('"', "'", "*", "\\", "(", "NEAR(", "AND", "a OR b", "-", "^", "{text}", "\u0301", "\u200b"):
            self.assert_found("Nothing of this", text, is_found=False)

    def test_scripts_without_spaces_are_found_wherever_they_stand(self) -> None:
        self.assert_found("蓮はハスと読む", "バス", "は読", is_found=False)
        self.assert_found("三楼的打印机坏了, ภาษาไทย", "打印机", "打印", "楼的", "打印 坏了", "ไทย")
        self.assert_found("新しいバスが来た", "バス")

    def test_the_old_id_of_an_imported_one_is_a_word_of_it(self) -> None:
        shown = self.create(self.uma)
        self.connection.execute("UPDATE work_orders SET source = 'servicenow', source_id = 'INC0012345'")
        with database.transaction(self.connection):
            database.refresh_derived(self.connection, shown.id)
        self.assertEqual(self.ids(self.max, work_order.search(self.max, "inc0012345")), [shown.id])

    def test_too_long_a_text_and_one_with_nul_are_refused(self) -> None:
        for text in ("x" * 201, "a\0b"):
            with self.assertRaises(InvalidInputError):
                work_order.search(self.uma, text)


class ExcerptTest(DatabaseTestCase):
    def assert_below(self, text: str, expected: str) -> None:
        found = work_order.find(self.uma, work_order.search(self.uma, text), None, 20)
        self.assertEqual(list(found.below.values()), [[expected]])

    def test_a_comment_or_note_that_matched_is_shown_before_the_title(self) -> None:
        self.create(self.uma, "Printer jams", "the printer of room 5")
        work_order.comment(self.uma, 1, "This printer is old")
        self.assert_below("printer", "comment: This [printer] is old")
        self.change_status(self.max, 1, Status.ON_HOLD, "A new printer\nis ordered")
        self.assert_below("printer", "note: A new [printer] is ordered")

    def test_the_place_is_shown_as_it_was_written_and_cut_around_it(self) -> None:
        self.create(self.uma, "Title", "In der Großen Straße steht O'Reilly")
        self.create(self.uma, "Laptop", "社内VPN接続エラー")
        self.assert_below("vpn", "description: 社内[VPN]接続エラー")
        work_order.comment(self.uma, 1, "é " * 2000 + "Nädel " + "ü " * 2000)
        self.assert_below("strasse", "description: In der Großen [Straße] steht O'Reilly")
        self.assert_below("oreilly", "description: In der Großen Straße steht [O'Reilly]")
        self.assert_below("nadel", f"comment: ...{'é ' * 15}[Nädel] {'ü ' * 14}ü...")
