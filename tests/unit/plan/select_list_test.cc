#include "pgrecast/plan/select_list.h"

#include <gtest/gtest.h>

#include <string>

namespace pgrecast::plan {
namespace {

SelectList some_list() {
  SelectList::Parts parts;
  parts.insert_columns = {"id", "a \"b"};
  parts.compare_columns = {"id"};
  parts.compare_types = {"bigint"};
  parts.alias = "\"t\"";
  parts.rows_head = "SELECT \"id\", \"a \"\"b\" FROM (SELECT * FROM ";
  parts.rows_head += '\0';
  parts.from = "s";
  parts.rows_tail = ") AS \"t\"";
  parts.compare_head = "SELECT \"c\" FROM (SELECT * FROM ";
  parts.compare_head += '\0';
  parts.compare_tail = ") AS \"t\" WHERE x";
  parts.key_expressions = {std::string("CAST(\0.\"id\" AS bigint)", 22)};
  parts.ctid_column = "\"c\"";
  parts.heap_column = "\"h\"";
  return SelectList(std::move(parts));
}

TEST(SelectListTest, ConditionGoesIntoTheInnermostQuery) {
  const SelectList list = some_list();

  EXPECT_EQ(list.insert_target(),
            "(\"id\", \"a \"\"b\") OVERRIDING SYSTEM VALUE");
  EXPECT_EQ(list.rows("true"),
            "SELECT \"id\", \"a \"\"b\" FROM (SELECT * FROM s WHERE true) AS "
            "\"t\"");
  EXPECT_EQ(list.rows("true", "leaf"),
            "SELECT \"id\", \"a \"\"b\" FROM (SELECT * FROM leaf WHERE true) "
            "AS \"t\"");
  EXPECT_EQ(list.rows_to_compare("k = 1"),
            "SELECT \"c\" FROM (SELECT * FROM s WHERE k = 1) AS \"t\" WHERE x");
  EXPECT_EQ(list.shadow_to_compare("m.t", "k = 1"),
            "SELECT ctid AS \"c\", tableoid AS \"h\", "
            "CAST(\"id\" AS bigint) AS \"id\" FROM m.t WHERE k = 1");
}

TEST(SelectListTest, KeyExpressionsAreOverAnyAlias) {
  EXPECT_EQ(some_list().key_expressions("keys"),
            std::vector<std::string>{"CAST(keys.\"id\" AS bigint)"});
}

TEST(SelectListTest, SurvivesJson) {
  const SelectList list = some_list();
  const SelectList again = SelectList::from_json(list.to_json());

  EXPECT_EQ(again.to_json(), list.to_json());
  EXPECT_EQ(again.rows("x"), list.rows("x"));
  EXPECT_EQ(again.rows_to_compare("x"), list.rows_to_compare("x"));
  EXPECT_EQ(again.insert_target(), list.insert_target());
  EXPECT_EQ(again.key_expressions("k"), list.key_expressions("k"))
      << "the zero byte in them";
}

}  // namespace
}  // namespace pgrecast::plan
