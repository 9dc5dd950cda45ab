import os
import tempfile
import unittest

from clic import schema
from clic.disk import Root

FIELDS: schema.Fields = {
    "title": (str, schema.NEEDED), "seconds": (int, 60), "units": ([str], []), "texts": (dict, {}),
}


class Table(unittest.TestCase):
    def wrong(self, data: schema.Table) -> str:
        with self.assertRaises(schema.Wrong) as caught:
            schema.table("x.toml", data, FIELDS, ["file"])
        return str(caught.exception)

    def test_what_is_left_out_is_as_declared(self) -> None:
        self.assertEqual(schema.table("x.toml", {"title": "X", "units": ["a.service"]}, FIELDS),
                         {"title": "X", "seconds": 60, "units": ["a.service"], "texts": {}})

    def test_what_is_wrong_is_named(self) -> None:
        for data, said in (
            ({}, "x.toml: title is missing"),
            ({"titel": "X"}, "x.toml: unknown key titel, title is meant?"),
            ({"files": []}, "x.toml: unknown key files, file is meant?"),
            ({"zzz": 1}, "x.toml: unknown key zzz"),
            ({"title": 1}, "x.toml: title must be text"),
            ({"title": "X", "seconds": "1"}, "x.toml: seconds must be a number"),
            ({"title": "X", "seconds": True}, "x.toml: seconds must be a number"),
            ({"title": "X", "units": "a.service"}, "x.toml: units must be a list of text"),
            ({"title": "X", "units": ["a.service", 1]}, "x.toml: units must be a list of text"),
            ({"title": "X", "texts": []}, "x.toml: texts must be a table"),
        ):
            self.assertEqual(self.wrong(data), said)


class Files(unittest.TestCase):
    def test_they_are_found_and_read(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            root = Root(directory)
            self.assertEqual(schema.names(root, "/etc/x.d"), [])
            os.makedirs(root.at("/etc/x.d"))
            for name, data in (("b.toml", b"n = 1\n"), ("a.toml", b"n = \n"), ("c.toml", b"n = '\xff'\n"), ("README", b"")):
                with open(root.at(f"/etc/x.d/{name}"), "wb") as file:
                    file.write(data)
            self.assertEqual(schema.names(root, "/etc/x.d"), ["a", "b", "c"])
            self.assertEqual(schema.read(root, "/etc/x.d/b.toml"), {"n": 1})
            for name, said in (("a", "Invalid value"), ("c", "can't decode byte 0xff")):
                with self.assertRaisesRegex(schema.Wrong, f"^/etc/x.d/{name}.toml: .*{said}"):
                    schema.read(root, f"/etc/x.d/{name}.toml")
            with self.assertRaises(FileNotFoundError):
                schema.read(root, "/etc/x.d/d.toml")


if __name__ == "__main__":
    unittest.main()
