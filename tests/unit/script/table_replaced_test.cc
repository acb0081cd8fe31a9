#include "unit/script/parsed.h"

#include <gtest/gtest.h>

#include <optional>

namespace pgrecast::script {
namespace {

struct ReplaceCase {
  const char* text;
  const char* expected;  // on m."T x"
};

class TableReplaced : public testing::TestWithParam<ReplaceCase> {};

TEST_P(TableReplaced, ChangesTheNameAndNothingElse) {
  const Script script = parse(GetParam().text);

  EXPECT_EQ(script.with_table_replaced(script.statements().at(0), "m.\"T x\""),
            GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(
    Forms, TableReplaced,
    testing::Values(
        ReplaceCase{"ALTER TABLE t ADD t int;",
                    "ALTER TABLE m.\"T x\" ADD t int"},
        ReplaceCase{"ALTER TABLE IF EXISTS ONLY t DROP t",
                    "ALTER TABLE IF EXISTS ONLY m.\"T x\" DROP t"},
        ReplaceCase{"ALTER TABLE s.t* DROP t",
                    "ALTER TABLE m.\"T x\" * DROP t"},
        ReplaceCase{"ALTER TABLE ONLY(t)DROP t",
                    "ALTER TABLE ONLY( m.\"T x\" )DROP t"},
        ReplaceCase{"ALTER TABLE\"we;ird \"\"name\"DROP a",
                    "ALTER TABLE m.\"T x\" DROP a"},
        ReplaceCase{"ALTER TABLE s /* . */ . -- x\n \"t\" DROP a",
                    "ALTER TABLE m.\"T x\" DROP a"},
        ReplaceCase{"ALTER TABLE größe DROP größe",
                    "ALTER TABLE m.\"T x\" DROP größe"},
        ReplaceCase{"ALTER TABLE \"日\".\"本\" DROP a -- end",
                    "ALTER TABLE m.\"T x\" DROP a"},
        ReplaceCase{"ALTER TABLE U&\"!0074\" UESCAPE '!' DROP a",
                    "ALTER TABLE m.\"T x\" DROP a"},
        ReplaceCase{"ALTER TABLE t RENAME COLUMN t TO u",
                    "ALTER TABLE m.\"T x\" RENAME COLUMN t TO u"},
        ReplaceCase{"UPDATE t AS t SET t = t.t WHERE t",
                    "UPDATE m.\"T x\" AS t SET t = t.t WHERE t"},
        ReplaceCase{"DELETE FROM ONLY t WHERE t",
                    "DELETE FROM ONLY m.\"T x\" WHERE t"},
        ReplaceCase{"CREATE INDEX t ON t(t)",
                    "CREATE INDEX t ON m.\"T x\" (t)"},
        ReplaceCase{"CREATE INDEX CONCURRENTLY t ON s.t USING btree (t)",
                    "CREATE INDEX  t ON m.\"T x\" USING btree (t)"},
        ReplaceCase{"CREATE INDEX/**/CONCURRENTLY\"concurrently\"ON\"t\"(a)",
                    "CREATE INDEX/**/\"concurrently\"ON m.\"T x\" (a)"},
        ReplaceCase{"create unique index concurrently if not exists i on t (a)",
                    "create unique index  if not exists i on m.\"T x\" (a)"}));

TEST(TableReplaced, WorksOnTheSecondStatementToo) {
  const Script script = parse("UPDATE t SET a = 'ß';\nUPDATE s.t SET b = 1;");

  EXPECT_EQ(script.with_table_replaced(script.statements().at(1), "u"),
            "UPDATE u SET b = 1");
}

struct ReferenceCase {
  const char* text;
  const char* expected;  // on m."T x", with "U" and "V" behind REFERENCES
  std::optional<std::string> without;  // its foreign keys
};

class ReferencesReplaced : public testing::TestWithParam<ReferenceCase> {};

TEST_P(ReferencesReplaced, OrLeftOutAndNothingElse) {
  const Script script = parse(GetParam().text);
  const Statement& statement = script.statements().at(0);
  std::vector<std::string> referenced{"\"U\"", "\"V\""};
  referenced.resize(std::get<AlterTable>(statement.body).foreign_keys.size());

  EXPECT_EQ(script.with_tables_replaced(statement, "m.\"T x\"", referenced),
            GetParam().expected);
  EXPECT_EQ(script.without_foreign_keys(statement, "m.\"T x\""),
            GetParam().without);
}

INSTANTIATE_TEST_SUITE_P(
    Forms, ReferencesReplaced,
    testing::Values(
        ReferenceCase{"ALTER TABLE t ADD FOREIGN KEY (u) REFERENCES u",
                      "ALTER TABLE m.\"T x\" ADD FOREIGN KEY (u) REFERENCES "
                      "\"U\"",
                      std::nullopt},
        ReferenceCase{
            "ALTER TABLE t DROP a, ADD CONSTRAINT n FOREIGN KEY (a, b) "
            "REFERENCES s.u(c, d) MATCH FULL ON DELETE SET NULL (a) ON UPDATE "
            "CASCADE NOT VALID, DROP b",
            "ALTER TABLE m.\"T x\" DROP a, ADD CONSTRAINT n FOREIGN KEY (a, b) "
            "REFERENCES \"U\" (c, d) MATCH FULL ON DELETE SET NULL (a) ON "
            "UPDATE CASCADE NOT VALID, DROP b",
            "ALTER TABLE m.\"T x\" DROP a, DROP b"},
        ReferenceCase{"ALTER TABLE t ADD a int REFERENCES u",
                      "ALTER TABLE m.\"T x\" ADD a int REFERENCES \"U\"",
                      "ALTER TABLE m.\"T x\" ADD a int "},
        ReferenceCase{
            "ALTER TABLE t ADD a int NOT NULL CONSTRAINT n REFERENCES u (c) "
            "DEFERRABLE INITIALLY DEFERRED DEFAULT 1 CHECK (a > 0), ADD b "
            "text COLLATE \"C\" REFERENCES \"V v\"",
            "ALTER TABLE m.\"T x\" ADD a int NOT NULL CONSTRAINT n REFERENCES "
            "\"U\" (c) DEFERRABLE INITIALLY DEFERRED DEFAULT 1 CHECK (a > 0), "
            "ADD b text COLLATE \"C\" REFERENCES \"V\"",
            "ALTER TABLE m.\"T x\" ADD a int NOT NULL  DEFAULT 1 CHECK (a > "
            "0), "
            "ADD b text COLLATE \"C\" "},
        ReferenceCase{
            "ALTER TABLE t ADD a int UNIQUE DEFERRABLE REFERENCES u NOT "
            "DEFERRABLE COLLATE \"C\"",
            "ALTER TABLE m.\"T x\" ADD a int UNIQUE DEFERRABLE REFERENCES "
            "\"U\" NOT DEFERRABLE COLLATE \"C\"",
            "ALTER TABLE m.\"T x\" ADD a int UNIQUE DEFERRABLE  COLLATE "
            "\"C\""}));

TEST(TableReplaced, RefusesWhatIsNoTableName) {
  const Script script = parse("UPDATE t SET a = 1 WHERE b");

  for (const char* name : {"", "x y", "x, y", "x CASCADE", "x SET b = 2 --",
                           "x; DROP TABLE y", "ONLY x"}) {
    EXPECT_THROW(script.with_table_replaced(script.statements().at(0), name),
                 ScriptError)
        << name;
  }
}

}  // namespace
}  // namespace pgrecast::script
