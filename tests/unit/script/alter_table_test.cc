#include "unit/script/parsed.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace pgrecast::script {
namespace {

struct TypeCase {
  const char* subcommand;
  const char* column;
  const char* type;
  const char* collation;   // nullptr: none
  const char* expression;  // nullptr: none
  bool plain;
};

class TypeChanges : public testing::TestWithParam<TypeCase> {};

TEST_P(TypeChanges, AreCutExactly) {
  // With neighbours, so that both ends of the subcommand are tried.
  const Script script =
      parse(std::string("ALTER TABLE t DROP COLUMN z, ") +
            GetParam().subcommand + " , ALTER y SET NOT NULL");

  const auto& change = body<AlterTable>(script).type_changes.at(0);
  EXPECT_EQ(change.column, GetParam().column);
  EXPECT_EQ(slice(script, change.type), GetParam().type);
  ASSERT_EQ(change.collation.has_value(), GetParam().collation != nullptr);
  if (change.collation) {
    EXPECT_EQ(slice(script, *change.collation), GetParam().collation);
  }
  ASSERT_EQ(change.using_expression.has_value(),
            GetParam().expression != nullptr);
  if (change.using_expression) {
    EXPECT_EQ(slice(script, change.using_expression->span),
              GetParam().expression);
  }
  EXPECT_EQ(change.using_is_plain, GetParam().plain);
}

INSTANTIATE_TEST_SUITE_P(
    Forms, TypeChanges,
    testing::Values(
        TypeCase{"ALTER COLUMN a TYPE bigint", "a", "bigint", nullptr, nullptr,
                 false},
        TypeCase{"alter a set data type NUMERIC(10, 2)", "a", "NUMERIC(10, 2)",
                 nullptr, nullptr, false},
        TypeCase{"ALTER type TYPE double precision", "type", "double precision",
                 nullptr, nullptr, false},
        TypeCase{"ALTER data SET DATA TYPE s.\"My type\"[3][]", "data",
                 "s.\"My type\"[3][]", nullptr, nullptr, false},
        TypeCase{"ALTER a TYPE timestamp(3) with time zone USING a", "a",
                 "timestamp(3) with time zone", nullptr, "a", true},
        TypeCase{"ALTER a TYPE interval day to second(3)", "a",
                 "interval day to second(3)", nullptr, nullptr, false},
        TypeCase{"ALTER a TYPE int ARRAY[4] USING a::int[]", "a",
                 "int ARRAY[4]", nullptr, "a::int[]", true},
        TypeCase{"ALTER \"A b\" TYPE text COLLATE pg_catalog.\"C\" USING \"A "
                 "b\"::text",
                 "A b", "text", "pg_catalog.\"C\"", "\"A b\"::text", true},
        TypeCase{"ALTER a TYPE text COLLATE \"de_DE\"", "a", "text",
                 "\"de_DE\"", nullptr, false},
        TypeCase{"ALTER a TYPE int USING CAST(t.a AS int)", "a", "int", nullptr,
                 "CAST(t.a AS int)", true},
        TypeCase{"ALTER a TYPE int USING (a::text)::int", "a", "int", nullptr,
                 "(a::text)::int", false},
        TypeCase{"ALTER a TYPE int USING b", "a", "int", nullptr, "b", false},
        TypeCase{"ALTER a TYPE int USING b::int", "a", "int", nullptr, "b::int",
                 false},
        TypeCase{"ALTER a TYPE int USING a + 1 /* , USING */", "a", "int",
                 nullptr, "a + 1", false},
        TypeCase{"ALTER a /*TYPE x*/ TYPE /* USING */ int -- USING\n USING "
                 "f(a, ',')",
                 "a", "int", nullptr, "f(a, ',')", false},
        TypeCase{"ALTER a TYPE int USING a IS DISTINCT FROM t.using", "a",
                 "int", nullptr, "a IS DISTINCT FROM t.using", false}));

struct AddCase {
  const char* subcommand;
  const char* name;
  const char* type;
  const char* default_expression;    // nullptr: none
  const char* generated_expression;  // nullptr: none
};

class AddedColumns : public testing::TestWithParam<AddCase> {};

TEST_P(AddedColumns, AreCutExactly) {
  const Script script = parse(std::string("ALTER TABLE t ") +
                              GetParam().subcommand + ", DROP COLUMN z");

  const auto& added = body<AlterTable>(script).added.at(0);
  EXPECT_EQ(added.name, GetParam().name);
  EXPECT_EQ(slice(script, added.type), GetParam().type);
  ASSERT_EQ(added.default_expression.has_value(),
            GetParam().default_expression != nullptr);
  if (added.default_expression) {
    EXPECT_EQ(slice(script, added.default_expression->span),
              GetParam().default_expression);
  }
  ASSERT_EQ(added.generated_expression.has_value(),
            GetParam().generated_expression != nullptr);
  if (added.generated_expression) {
    EXPECT_EQ(slice(script, added.generated_expression->span),
              GetParam().generated_expression);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Forms, AddedColumns,
    testing::Values(
        AddCase{"ADD COLUMN a text", "a", "text", nullptr, nullptr},
        AddCase{"ADD a text DEFAULT 'x'", "a", "text", "'x'", nullptr},
        AddCase{"ADD a int NOT NULL DEFAULT 1 + 2", "a", "int", "1 + 2",
                nullptr},
        AddCase{"ADD a int DEFAULT 0 NOT NULL", "a", "int", "0", nullptr},
        AddCase{"ADD a int DEFAULT -1 NULL", "a", "int", "-1", nullptr},
        AddCase{"ADD a int DEFAULT (1) UNIQUE", "a", "int", "(1)", nullptr},
        AddCase{"ADD a int CONSTRAINT d DEFAULT f(1, 2) CONSTRAINT c CHECK (a "
                "> 0)",
                "a", "int", "f(1, 2)", nullptr},
        AddCase{"ADD a text COLLATE \"C\" DEFAULT 'x' || 'y'", "a", "text",
                "'x' || 'y'", nullptr},
        AddCase{"ADD a text DEFAULT 'x' COLLATE \"C\" NOT NULL", "a", "text",
                "'x'", nullptr},
        AddCase{"ADD a text COMPRESSION pglz DEFAULT 'x'", "a", "text", "'x'",
                nullptr},
        AddCase{"ADD a timestamptz DEFAULT now()", "a", "timestamptz", "now()",
                nullptr},
        AddCase{"ADD a timestamp(3) DEFAULT current_timestamp(3) PRIMARY KEY",
                "a", "timestamp(3)", "current_timestamp(3)", nullptr},
        AddCase{"ADD a int DEFAULT 1 PRIMARY KEY DEFERRABLE INITIALLY "
                "IMMEDIATE",
                "a", "int", "1", nullptr},
        AddCase{"ADD a int[] DEFAULT '{1,2}'::int[]", "a", "int[]",
                "'{1,2}'::int[]", nullptr},
        AddCase{"ADD a int GENERATED ALWAYS AS ((b + 1) * 2) STORED NOT NULL",
                "a", "int", nullptr, "(b + 1) * 2"},
        AddCase{"ADD a int GENERATED BY DEFAULT AS IDENTITY (START 5)", "a",
                "int", nullptr, nullptr},
        AddCase{"ADD a bigserial", "a", "bigserial", nullptr, nullptr}));

TEST(AddedColumn, SaysWhatTheServerWillFillByItself) {
  const Script script = parse(
      "ALTER TABLE t ADD a int GENERATED ALWAYS AS IDENTITY,"
      " ADD b bigserial, ADD c \"serial\", ADD d s.serial,"
      " ADD COLUMN IF NOT EXISTS e int");

  const auto& added = body<AlterTable>(script).added;
  ASSERT_EQ(added.size(), 5U);
  EXPECT_TRUE(added[0].identity);
  EXPECT_FALSE(added[0].serial);
  EXPECT_TRUE(added[1].serial);
  EXPECT_TRUE(added[2].serial);   // the server does not look at the quotes
  EXPECT_FALSE(added[3].serial);  // nor at a type with a schema
  EXPECT_FALSE(added[3].if_not_exists);
  EXPECT_TRUE(added[4].if_not_exists);
}

TEST(AlterTable, ListsItsSubcommandsInOrder) {
  const Script script = parse(
      "ALTER TABLE IF EXISTS ONLY s.t ALTER a TYPE int, ADD b int, DROP COLUMN "
      "IF EXISTS c CASCADE, ALTER d SET DEFAULT f(1, 2), ALTER e DROP DEFAULT, "
      "ALTER f SET NOT NULL, ALTER g DROP NOT NULL, ADD CONSTRAINT h CHECK (a "
      "> 0), DROP CONSTRAINT i, SET (fillfactor = 70, autovacuum_enabled = "
      "off), ALTER j SET STORAGE external, SET TABLESPACE k");

  const auto& alter = body<AlterTable>(script);
  EXPECT_TRUE(alter.if_exists);
  EXPECT_TRUE(alter.table.only);
  const std::vector<AlterKind> kinds{
      AlterKind::kColumnType,     AlterKind::kAddColumn,
      AlterKind::kDropColumn,     AlterKind::kSetDefault,
      AlterKind::kDropDefault,    AlterKind::kSetNotNull,
      AlterKind::kDropNotNull,    AlterKind::kAddConstraint,
      AlterKind::kDropConstraint, AlterKind::kTableOptions,
      AlterKind::kSetStorage,     AlterKind::kTablespace};
  ASSERT_EQ(alter.subcommands.size(), kinds.size());
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    EXPECT_EQ(alter.subcommands[i].kind, kinds[i]) << i;
  }
  EXPECT_EQ(slice(script, alter.subcommands[3].span),
            "ALTER d SET DEFAULT f(1, 2)");
  EXPECT_EQ(slice(script, alter.subcommands[9].span),
            "SET (fillfactor = 70, autovacuum_enabled = off)");
  EXPECT_EQ(alter.subcommands[1].name, "b");
  EXPECT_EQ(alter.subcommands[7].name, "h");
  EXPECT_EQ(alter.subcommands[8].name, "i");
  ASSERT_EQ(alter.dropped.size(), 1U);
  EXPECT_EQ(alter.dropped[0].name, "c");
  EXPECT_TRUE(alter.dropped[0].if_exists);
  EXPECT_TRUE(alter.dropped[0].cascade);
  ASSERT_EQ(alter.defaults.size(), 2U);
  EXPECT_EQ(slice(script, alter.defaults[0].expression->span), "f(1, 2)");
  EXPECT_EQ(alter.defaults[1].expression, std::nullopt);
}

TEST(AlterTable, FindsTheForeignKeysThatItAdds) {
  const Script script = parse(
      "ALTER TABLE t ADD a int REFERENCES u DEFERRABLE CHECK (a > 0), ADD b "
      "int "
      "DEFAULT 1 CONSTRAINT n REFERENCES s.v (x), ADD FOREIGN KEY (a) "
      "REFERENCES t, ADD CONSTRAINT o FOREIGN KEY (b) REFERENCES t NOT VALID");

  const auto& alter = body<AlterTable>(script);
  ASSERT_EQ(alter.foreign_keys.size(), 4U);
  std::string all;
  for (const AddedForeignKey& key : alter.foreign_keys) {
    all += fmt::format("{} {} {} {}|", key.subcommand, key.name,
                       key.referenced.name, key.checked);
  }
  EXPECT_EQ(all, "0  u false|1 n v true|2  t true|3 o t false|");
  EXPECT_EQ(slice(script, alter.foreign_keys[0].clause),
            "REFERENCES u DEFERRABLE");
  EXPECT_EQ(slice(script, alter.foreign_keys[1].clause),
            "CONSTRAINT n REFERENCES s.v (x)");
  EXPECT_EQ(alter.foreign_keys[1].referenced.schema, "s");
  EXPECT_EQ(slice(script, alter.added[0].type), "int");
  EXPECT_EQ(alter.subcommands[2].kind, AlterKind::kAddForeignKey);
  EXPECT_EQ(alter.subcommands[3].name, "o");
}

TEST(AlterTable, FindsTheFirstSubcommandBehindEveryFormOfTheName) {
  for (const char* name : {"t", "ONLY t", "ONLY (t)", "t *", "s.t", "s . t*",
                           "\"t\"", "U&\"t\"", "U&\"!0074\" UESCAPE '!'"}) {
    const Script script =
        parse(std::string("ALTER TABLE ") + name + " DROP a, DROP b");

    const auto& alter = body<AlterTable>(script);
    ASSERT_EQ(alter.subcommands.size(), 2U) << name;
    EXPECT_EQ(slice(script, alter.subcommands[0].span), "DROP a") << name;
    EXPECT_EQ(alter.table.name, "t") << name;
  }
}

TEST(AlterTable, LetsTheOtherFormsThroughByTheirKind) {
  const Script script = parse(
      "ALTER TABLE t ALTER a ADD GENERATED ALWAYS AS IDENTITY, ALTER a DROP "
      "EXPRESSION, ALTER a SET STATISTICS 5, ALTER a SET (n_distinct = 4), "
      "ALTER a SET COMPRESSION lz4, VALIDATE CONSTRAINT c, CLUSTER ON i, SET "
      "LOGGED, SET ACCESS METHOD heap, REPLICA IDENTITY FULL, SET WITHOUT "
      "OIDS, "
      "ADD EXCLUDE USING gist (a WITH =, b WITH &&), ADD PRIMARY KEY (a, b)");

  const std::vector<AlterKind> kinds{
      AlterKind::kIdentity,       AlterKind::kDropExpression,
      AlterKind::kSetStatistics,  AlterKind::kColumnOptions,
      AlterKind::kSetCompression, AlterKind::kValidateConstraint,
      AlterKind::kCluster,        AlterKind::kPersistence,
      AlterKind::kAccessMethod,   AlterKind::kReplicaIdentity,
      AlterKind::kWithoutOids,    AlterKind::kAddConstraint,
      AlterKind::kAddConstraint};
  const auto& subcommands = body<AlterTable>(script).subcommands;
  ASSERT_EQ(subcommands.size(), kinds.size());
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    EXPECT_EQ(subcommands[i].kind, kinds[i]) << i;
  }
}

}  // namespace
}  // namespace pgrecast::script
