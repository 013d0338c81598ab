"""Judges: what they are asked, what is read, what a kill does not lose."""

import json

import numpy as np
import pytest

from keras_llm.compare.judging import grade, judge, judge_all
from keras_llm.compare.matches import Match, longer_wins
from keras_llm.compare.verdicts import (
    REMINDER,
)
from keras_llm.errors import InputError
from keras_llm.evaluate import Finding, Table, Words

PROMPTS = [f"What is {n} + {n}?" for n in range(40)]
RIGHT = [str(2 * n) for n in range(40)]
WRONG = [str(2 * n + 1) for n in range(40)]


def shown(question: str) -> tuple[str, str]:
    """The two answers that a question shows, in its order."""
    first, second = (
        question.split(f"<answer_{one}>\n")[1].split("\n</answer")[0]
        for one in "AB"
    )
    return first, second


def knows(question: str) -> str:
    """A good judge: it can add."""
    n = int(question.split("What is ")[1].split(" +")[0])
    first, second = (answer == str(2 * n) for answer in shown(question))
    mark = "tie" if first == second else "A" if first else "B"
    return f"I added. [[{mark}]]"


def facts(report) -> dict[str, float]:
    return {
        name.removeprefix("judge/"): measure.value
        for name, measure in report.measures().items()
    }


def test_the_better_answers_win():
    report = judge(knows, PROMPTS, RIGHT, WRONG, names=("new", "old"))
    found = facts(report)
    assert found["win_rate"] == 1.0 and found["consistency"] == 1.0
    assert found["first_place"] == 0.5 and found["unreadable"] == 0.0
    (difference,) = report.differences()
    assert difference.shown and difference.lead.difference == 0.5
    words = [b.text for b in report.blocks() if isinstance(b, Words)]
    assert words[1].startswith("new is preferred to old: new wins 100.0%")
    turned = judge(knows, PROMPTS, WRONG, RIGHT, names=("new", "old"))
    words = [b.text for b in turned.blocks() if isinstance(b, Words)]
    assert words[1].startswith("old is preferred to new: old wins 100.0%")


def test_a_judge_that_likes_a_place_finds_nothing():
    longer = [f"{answer}!" for answer in RIGHT]
    report = judge(lambda question: "[[A]]", PROMPTS, longer, WRONG)
    assert facts(report) == {
        "win_rate": 0.5,
        "consistency": 0.0,
        "first_place": 1.0,
        "longer_wins": 0.5,
        "unreadable": 0.0,
    }
    texts = [getattr(block, "text", "") for block in report.blocks()]
    assert any("No preference shown between A and B" in t for t in texts)
    assert any("contradiction" in text for text in texts)


def test_a_judge_that_likes_length_is_found_out():
    def longer(question):
        a, b = map(len, shown(question))
        return "[[tie]]" if a == b else "[[A]]" if a > b else "[[B]]"

    answers = ["yes" * (1 + n % 3) for n in range(40)]
    others = ["no" * (1 + n % 2) for n in range(40)]
    found = facts(judge(longer, PROMPTS, answers, others))
    assert found["longer_wins"] == 1.0 and found["consistency"] == 1.0


def test_equal_lengths_say_nothing_of_length():
    match = Match(0, "x", "y", ("first", "first"), ("", ""))
    assert longer_wins([match], {"x": ["ab"], "y": ["cd"]}) == []
    assert longer_wins([match], {"x": ["a"], "y": ["cd"]}) == [0.0]


def test_win_rate_has_the_error_of_its_points():
    report = judge(knows, PROMPTS, RIGHT[:25] + WRONG[25:], ["?"] * 40)
    measure = report.measures()["judge/win_rate"]
    points = np.array([1.0] * 25 + [0.5] * 15)
    assert measure.value == pytest.approx(points.mean())
    assert measure.error == pytest.approx(points.std(ddof=1) / 40**0.5)
    low, high = report.differences()[0].lead.interval
    reach = 1.96 * measure.error
    assert 0.5 + low == pytest.approx(measure.value - reach, abs=0.02)
    assert 0.5 + high == pytest.approx(measure.value + reach, abs=0.02)


def test_unreadable_replies_are_asked_again_then_counted():
    asked = []

    def mumbles(question):
        asked.append(question)
        if "What is 3 +" in question:
            return "Hard to say."  # whatever one asks
        if "What is 5 +" in question and not question.endswith(REMINDER):
            return "I like both."  # but says it when reminded
        return knows(question)

    report = judge(mumbles, PROMPTS, RIGHT, WRONG, retries=2)
    assert len(asked) == 80 + 2 * 2 + 2
    found = facts(report)
    assert found["win_rate"] == 1.0
    assert found["unreadable"] == 1 / 40
    assert report.measures()["judge/win_rate"].count == 39
    assert report.matches[5].points == 1.0 and report.matches[3].points is None
    said = report.blocks()[0].text
    assert said.endswith("Left out, since a reply could not be read: 1.")
    texts = [getattr(block, "text", "") for block in report.blocks()]
    assert "Hard to say." in texts and report.to_dict()["matches"][3]


def test_a_judge_who_says_nothing_has_no_result():
    report = judge(lambda question: "", PROMPTS[:3], RIGHT[:3], WRONG[:3])
    assert facts(report) == {"unreadable": 1.0}
    assert report.blocks() and report.differences() == []


def test_a_killed_run_goes_on(tmp_path):
    log, asked = tmp_path / "logs" / "judge.jsonl", []

    def stops(question):
        if len(asked) == 30:
            raise KeyboardInterrupt
        asked.append(question)
        return knows(question)

    stops.__qualname__ = "knows"
    with pytest.raises(KeyboardInterrupt):
        judge(stops, PROMPTS, RIGHT, WRONG, log=log, concurrency=1)
    kept = len(log.read_text().splitlines())
    assert kept <= 30
    with open(log, "a") as file:
        file.write('{"key": "torn')
    later = []

    def goes_on(question):
        later.append(question)
        return knows(question)

    goes_on.__qualname__ = "knows"
    again = judge(goes_on, PROMPTS, RIGHT, WRONG, log=log)
    assert len(later) == 80 - kept
    assert facts(again) == facts(judge(knows, PROMPTS, RIGHT, WRONG))
    lines = [json.loads(line) for line in log.read_text().split("\n")[:-1]]
    assert len(lines) == 80
    assert {"item", "first", "second", "question", "reply"} <= set(lines[0])
    never = lambda question: pytest.fail("asked again")  # noqa: E731
    never.__qualname__ = "knows"
    judge(never, PROMPTS, RIGHT, WRONG, log=log)


def test_another_rubric_or_judge_is_asked_anew(tmp_path):
    log, calls = tmp_path / "judge.jsonl", []

    def count(question):
        calls.append(question)
        return "[[A]]"

    judge(count, ["a"], ["b"], ["c"], log=log)
    judge(count, ["a"], ["b"], ["c"], log=log)
    assert len(calls) == 2
    judge(count, ["a"], ["b"], ["c"], log=log, rubric="Be kind.")
    assert len(calls) == 4 and "Be kind." in calls[-1]
    count.__qualname__ = "another"
    judge(count, ["a"], ["b"], ["c"], log=log)
    assert len(calls) == 6


def test_equal_questions_are_asked_once():
    calls = []

    def count(question):
        calls.append(question)
        return "[[tie]]"

    report = judge(count, ["a"] * 5, ["b"] * 5, ["b"] * 5)
    assert len(calls) == 1 and len(report.matches) == 5


class Grader:
    """A subject that grades by length, in batches."""

    name, fingerprint = "grader", "f1"

    def __init__(self):
        self.batches = []

    def likelihoods(self, requests): ...

    def rolling(self, texts): ...

    def token_scores(self, texts): ...

    def generate(self, prompts):
        self.batches.append(len(prompts))
        answers = [p.context.split("<answer>\n")[1] for p in prompts]
        return [f"[[{min(9, len(a.split()[0]))}]]" for a in answers]


def test_a_subject_is_a_judge_too(tmp_path):
    subject = Grader()
    answers = {"long": ["aaaa"] * 40, "short": ["aa"] * 40}
    report = grade(subject, PROMPTS, answers, log=tmp_path / "g.jsonl")
    assert subject.batches == [32, 32, 16]
    assert isinstance(report, Finding) and report.judge == "grader"
    assert report.measures()["grade/long"].value == 4.0
    (difference,) = report.differences()
    assert str(difference).startswith("long is better than short on grade by 2")
    line = json.loads((tmp_path / "g.jsonl").read_text().split("\n")[0])
    assert line["judge"] == "f1"  # other weights are another judge
    json.dumps(report.to_dict())


def test_grades_that_cannot_be_read_are_left_out_and_said():
    def some(question):
        return "No." if "What is 3 +" in question else "[[6]]"

    report = grade(some, PROMPTS, {"a": RIGHT, "b": WRONG})
    measures = report.measures()
    assert measures["grade/a"].count == 39
    assert measures["grade/unreadable"].value == 2 / 80
    assert "2 replies had no grade" in report.blocks()[0].text
    table = next(b for b in report.blocks() if isinstance(b, Table))
    assert table.rows[0]["6"] == 39 and table.rows[0]["unreadable"] == 1
    silent = grade(lambda question: "", PROMPTS, {"a": RIGHT})
    assert set(silent.measures()) == {"grade/unreadable"}
    assert silent.blocks() and silent.differences() == []
    with pytest.raises(InputError, match="one of a, b. Received: 'c'"):
        report.grades("c")


def test_three_models_are_rated():
    answers = {"bad": WRONG, "good": RIGHT, "half": RIGHT[:20] + WRONG[20:]}
    report = judge_all(knows, PROMPTS, answers)
    assert [one.model for one in report.ratings()] == ["good", "half", "bad"]
    assert len(report.matches) == 120 and len(report.differences()) == 3
    measures = report.measures()
    ratings = [measures[f"judge/rating/{model}"].value for model in answers]
    assert sum(ratings) / 3 == pytest.approx(1000)
    for one in report.ratings():
        assert one.interval.low <= one.value <= one.interval.high
    captions = [b.caption for b in report.blocks() if isinstance(b, Table)]
    assert any(caption.startswith("Bradley-Terry") for caption in captions)
    assert isinstance(report, Finding)
    json.dumps(report.to_dict())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompts": []}, "at least one prompt"),
        ({"answers_b": ["a"]}, "each of 2 prompts from B. Received: 1"),
        ({"references": ["a"]}, "from the references. Received: 1"),
        ({"names": ("a", "a")}, "Give two models two names"),
        ({"concurrency": 0}, "concurrency of at least 1"),
        ({"judge_model": 3}, "Expected a judge: a function.*Received: int"),
        ({"judge_model": lambda q: None}, "a text as the judge's reply"),
        ({"judge_model": "nowhere"}, "nowhere, which does not exist"),
    ],
)
def test_a_mistake_is_a_sentence(change, said):
    asked = {
        "judge_model": lambda question: "[[A]]",
        "prompts": ["a", "b"],
        "answers_a": ["x", "y"],
        "answers_b": ["u", "v"],
    }
    with pytest.raises(InputError, match=said):
        judge(**(asked | change))


def test_an_error_of_the_judge_stops_the_run(tmp_path):
    log = tmp_path / "judge.jsonl"

    def breaks(question):
        if "What is 9 +" in question:
            raise OSError("no route to the judge")
        return knows(question)

    with pytest.raises(OSError, match="no route"):
        judge(breaks, PROMPTS, RIGHT, WRONG, log=log, concurrency=1)
    assert 0 < len(log.read_text().splitlines()) <= 80
