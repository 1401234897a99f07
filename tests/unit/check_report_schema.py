#!/usr/bin/python3
"""Validates what report_print writes against docs/schema, and the schema against what must fail.

check_report_schema.py REPORT_PRINT SCHEMA
"""
import copy
import csv
import io
import json
import subprocess
import sys
import unittest

import jsonschema

PROGRAM, SCHEMA = sys.argv[1:3]
VARIANTS = ("", "anonymous", "empty", "hostile")


def written(form, how):
    return subprocess.run([PROGRAM, form] + ([how] if how else []), check=True,
                          stdout=subprocess.PIPE).stdout


def undescribed(value, schema, root, path="$"):
    """Names in the document that the schema does not describe: misspelt, or not written down."""
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].split("/")[-1]]
    if isinstance(value, dict) and "properties" in schema:
        for name, inner in value.items():
            if name not in schema["properties"]:
                yield f"{path}.{name}"
            else:
                yield from undescribed(inner, schema["properties"][name], root, f"{path}.{name}")
    elif isinstance(value, list) and "items" in schema:
        for inner in value:
            yield from undescribed(inner, schema["items"], root, path + "[]")


class ReportSchema(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with open(SCHEMA, encoding="utf-8") as file:
            cls.schema = json.load(file)
        jsonschema.Draft202012Validator.check_schema(cls.schema)
        cls.validator = jsonschema.Draft202012Validator(cls.schema)
        cls.line_validator = jsonschema.Draft202012Validator(
            {"$ref": "#/$defs/line", "$defs": cls.schema["$defs"]})

    def test_documents_are_valid(self):
        for how in VARIANTS:
            with self.subTest(how):
                document = json.loads(written("json", how))
                self.validator.validate(document)
                self.assertEqual([], list(undescribed(document, self.schema, self.schema)))

    def test_lines_are_valid(self):
        for how in VARIANTS:
            with self.subTest(how):
                text = written("jsonl", how)
                self.assertTrue(text.endswith(b"\n"))
                types = []
                for line in text.splitlines():
                    record = json.loads(line)
                    self.line_validator.validate(record)
                    types.append(record["type"])
                self.assertEqual(types, sorted(types, key=("swarm", "claim", "peer", "flow",
                                                               "tracer").index))
                self.assertEqual("swarm", types[0])

    def test_lines_say_what_the_document_says(self):
        document = json.loads(written("json", ""))
        lines = [json.loads(line) for line in written("jsonl", "").splitlines()]
        kinds = [line.pop("type") for line in lines]
        for kind in "peer", "flow", "tracer":
            told = [line for line, its in zip(lines, kinds) if its == kind]
            self.assertEqual(document[kind + "s"], told)
        claims = document["swarm"].pop("claims")
        self.assertEqual(claims, lines[1:1 + len(claims)])
        for name, value in document["swarm"].items():
            self.assertEqual(value, lines[0][name], name)

    def test_csv_has_the_peers(self):
        peers = json.loads(written("json", "hostile"))["peers"]
        text = written("csv", "hostile").decode("utf-8")
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        self.assertEqual(len(peers), len(rows))
        for peer, row in zip(peers, rows):
            self.assertEqual(peer["address"], row["address"])
            self.assertEqual("'" + peer["client"], row["client"])
            self.assertEqual(peer["delivered"]["rate_bytes_s"],
                             float(row["delivered_rate_bytes_s"] or "nan")
                             if row["delivered_rate_bytes_s"] else None)

    def test_the_schema_refuses(self):
        good = json.loads(written("json", ""))
        cases = {
            "another schema": lambda d: d.update(schema="skep.audit/2"),
            "no peers": lambda d: d.pop("peers"),
            "a share above 1": lambda d: d["peers"][0].update(share=1.5),
            "a negative count": lambda d: d["swarm"].update(seeds=-1),
            "an unknown state": lambda d: d["peers"][0].update(state="asleep"),
            "an unknown source": lambda d: d["peers"][0].update(sources=["rumour"]),
            "an address that is a name": lambda d: d["peers"][0].update(address="example.org:80"),
            "a missing field": lambda d: d["peers"][0].pop("rtt_s"),
            "text for a number": lambda d: d["peers"][0]["delivered"].update(bytes="1"),
            "served without a byte": lambda d: d["peers"][0]["delivered"].update(bytes=0),
            "a short hash": lambda d: d["swarm"].update(info_hash="00"),
        }
        for name, spoil in cases.items():
            with self.subTest(name):
                bad = copy.deepcopy(good)
                spoil(bad)
                self.assertFalse(self.validator.is_valid(bad))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
