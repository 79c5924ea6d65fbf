"""The include check is the table of who may include whom, both ways."""

import unittest

import includes

FOLDERS = ["core", "proto", "config", "net", "store", "jobs", "work", "api"]

# y: any header; a: net/async.hpp only; s: store/spool.hpp only; -: nothing. Columns are FOLDERS.
TABLE = {
    "core": "y - - - - - - -",
    "proto": "y y - - - - - -",
    "config": "y - y - - - - -",
    "net": "- - - y - - - -",
    "store": "y - - a y - - -",
    "jobs": "y - y a y y - -",
    "work": "y y y y y y y -",
    "api": "y y y y s y - y",
    "tools": "y y y y y y y y",
}


def path_in(folder):
    return f"{folder}/x.cpp" if folder in ("proto", "config") else f"gateway/{folder}/x.cpp"


def problems(path, *lines, exists=lambda path: False):
    return [p.message for p in includes.check(path, "\n".join(lines) + "\n", exists)]


class Includes(unittest.TestCase):
    def test_every_cell_of_the_table(self):
        for folder, row in TABLE.items():
            for other, cell in zip(FOLDERS, row.split()):
                with self.subTest(f"{folder} includes {other}"):
                    any_header = problems(path_in(folder), f'#include "{other}/thing.hpp"')
                    self.assertEqual(any_header == [], cell == "y")
                    if cell == "a":
                        self.assertEqual(problems(path_in(folder), '#include "net/async.hpp"'), [])
                    if cell == "s":
                        self.assertEqual(problems(path_in(folder), '#include "store/spool.hpp"'), [])

    def test_base_is_under_all_and_includes_nobody(self):
        for folder in [*FOLDERS, "tools"]:
            self.assertEqual(problems(path_in(folder), '#include "base/ids.hpp"'), [])
            self.assertNotEqual(problems("gateway/base/x.cpp", f'#include "{folder}/x.hpp"'), [])

    def test_core_and_proto_do_not_log(self):
        for folder in [*FOLDERS, "tools"]:
            found = problems(path_in(folder), '#include "base/log.hpp"')
            self.assertEqual(found != [], folder in ("core", "proto"), folder)

    def test_only_net_includes_or_names_asio_and_beast(self):
        for line in ("#include <boost/asio/awaitable.hpp>", "#include <boost/beast/http.hpp>",
                     "asio::io_context loop;", "net::asio::post(ex, f);", "namespace http = boost::beast::http;",
                     "using boost::asio::ip::tcp;"):
            for folder in [*FOLDERS, "base", "tools"]:
                with self.subTest(folder=folder, line=line):
                    self.assertEqual(problems(path_in(folder), line) != [], folder != "net")
            self.assertNotEqual(problems("gateway/main.cpp", line), [])
            self.assertEqual(problems("tests/net/x_test.cpp", line), [])

    def test_only_proto_knows_json(self):
        for folder in [*FOLDERS, "base"]:
            self.assertEqual(problems(path_in(folder), "#include <boost/json.hpp>") != [], folder != "proto")
            self.assertEqual(problems(path_in(folder), "boost::json::value v;") != [], folder != "proto")

    def test_core_has_no_io_no_threads_and_of_boost_only_result(self):
        for name in ("fstream", "iostream", "thread", "mutex", "filesystem", "boost/url.hpp"):
            self.assertNotEqual(problems("gateway/core/x.hpp", f"#include <{name}>"), [])
        for name in ("chrono", "vector", "boost/system/result.hpp"):
            self.assertEqual(problems("gateway/core/x.hpp", f"#include <{name}>"), [])

    def test_only_base_includes_the_log_library(self):
        self.assertEqual(problems("gateway/base/log.cpp", "#include <boost/log/core.hpp>"), [])
        self.assertNotEqual(problems("gateway/work/x.cpp", "#include <boost/log/core.hpp>"), [])

    def test_includes_are_written_from_the_folders_parent(self):
        self.assertNotEqual(problems("gateway/core/x.cpp", '#include "../base/ids.hpp"'), [])
        self.assertNotEqual(problems("gateway/core/x.cpp", '#include "gateway/core/x.hpp"'), [])
        beside = problems("gateway/core/x.cpp", '#include "x.hpp"', exists=lambda path: path == "gateway/core/x.hpp")
        self.assertEqual(beside, ['write the path from the folder\'s parent, as in "core/x.hpp"'])

    def test_comments_and_literals_are_not_code(self):
        self.assertEqual(problems("gateway/core/x.cpp", '// #include "net/async.hpp"', "// asio::post",
                                  "/* #include <thread>", '#include "api/x.hpp" */', 'auto s = "asio::";'), [])

    def test_a_folder_nobody_agreed_on_is_a_problem(self):
        self.assertNotEqual(problems("gateway/helpers/x.cpp", "int x;"), [])

    def test_only_tests_include_test_support(self):
        self.assertEqual(problems("tests/core/x_test.cpp", '#include "support/world.hpp"'), [])
        self.assertNotEqual(problems("gateway/core/x.cpp", '#include "support/world.hpp"'), [])


if __name__ == "__main__":
    unittest.main()
