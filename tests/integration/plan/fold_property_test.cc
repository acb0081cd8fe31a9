#include "by_hand_fixture.h"

#include <rapidcheck/gtest.h>

namespace pgrecast::plan {
namespace {

constexpr const char* kTable = R"sql(
CREATE TABLE t (id int PRIMARY KEY, a int, b int, s text, v varchar(6), c char(4),
                n numeric(8,2), d date);
INSERT INTO t SELECT x, CASE WHEN x % 4 > 0 THEN x % 3 END, x % 5,
  CASE WHEN x % 3 > 0 THEN repeat('s', x % 7) || ' ' END, CASE WHEN x % 2 > 0 THEN 'v' || x END,
  CASE WHEN x % 5 > 0 THEN 'c ' END, x / 3.0, '2024-02-27'::date + x
FROM generate_series(1, 30) AS x)sql";

rc::Gen<std::string> one_of(std::vector<std::string> texts) {
  return rc::gen::elementOf(std::move(texts));
}

// Any column may be renamed, dropped or of another type by then; by hand such
// a script fails, and so it must for us.
std::string any_statement() {
  const std::string column =
      *one_of({"a", "b", "s", "v", "c", "n", "d", "x", "y"});
  const std::string other =
      *one_of({"a", "b", "s", "v", "c", "n", "x", "y", "id"});
  const std::string value = *one_of(
      {other, other, "NULL", "7", "'x'", "'12  '", other + " || 's'",
       other + "::text", "coalesce(" + other + "::text, 'none')",
       "length(" + other + "::text)", "octet_length(" + other + "::text)",
       "t." + other, "left(" + other + "::text, 3)", other + " + 1",
       "CASE WHEN a = 1 THEN 1 END", "concat(" + other + ", '-', d)",
       "to_char(d::timestamptz, 'DD.MM.YYYY HH24')", "d::timestamptz::text",
       "format('%s', " + other + ")"});
  const std::string condition =
      *one_of({"a > 1", "a IS NULL", other + "::text = '1'", "s LIKE 's%'",
               "NOT (a = 1)", other + " IS NOT NULL", "length(v) > 2", "n > b",
               "t.b = 3"});
  const std::string type =
      *one_of({"bigint", "text", "varchar(4)", "char(8)", "numeric(6,1)", "int",
               "numeric", "date", "timestamptz", "bit(3)", "short"});
  switch (*rc::gen::inRange(0, 11)) {
    case 10:
      return *one_of({"SET TIME ZONE 'Asia/Tokyo'",
                      "SET datestyle = 'SQL, DMY'", "SET work_mem = '9MB'",
                      "RESET datestyle"});
    case 0:
      return "UPDATE t SET " + column + " = " + value;
    case 1:
    case 2:
      return "UPDATE t SET " + column + " = " + value + " WHERE " + condition;
    case 3:
      return "UPDATE t SET a = b, b = a WHERE " + condition;
    case 4:
      return "DELETE FROM t WHERE " + condition;
    case 5:
      return "ALTER TABLE t ALTER " + column + " TYPE " + type;
    case 6:
      return "ALTER TABLE t ALTER " + column + " TYPE " + type + " USING (" +
             value + ")::" + type;
    case 7:
      return "ALTER TABLE t ADD " + *one_of({"x", "y"}) + " " + type +
             *one_of({"", " DEFAULT NULL", " DEFAULT '12'"});
    case 8:
      return "ALTER TABLE t RENAME " + column + " TO " + *one_of({"x", "y"});
    default:
      return *one_of({"ALTER TABLE t DROP " + column,
                      "CREATE INDEX ON t (" + column + ")",
                      "ALTER TABLE t ALTER id TYPE bigint",
                      "ALTER TABLE t ALTER " + column + " SET NOT NULL",
                      "ALTER TABLE t ALTER " + column + " DROP DEFAULT"});
  }
}

// A new shape: columns of the old one in any order, some with other types, and
// new ones.
std::string any_shape() {
  const std::string key = *one_of({"int", "int", "bigint", "numeric", "text"});
  std::vector<std::string> columns{
      "id " + key + *one_of({" PRIMARY KEY", " UNIQUE NOT NULL", " NOT NULL"})};
  for (const auto& [name, type] :
       std::vector<std::pair<std::string, std::string>>{{"a", "int"},
                                                        {"b", "int"},
                                                        {"s", "text"},
                                                        {"v", "varchar(6)"},
                                                        {"c", "char(4)"},
                                                        {"n", "numeric(8,2)"},
                                                        {"d", "date"},
                                                        {"x", "int"}}) {
    if (*rc::gen::inRange(0, 4) == 0) continue;
    columns.push_back(
        name + " " +
        *one_of({type, type, type, type, "bigint", "text", "varchar(4)",
                 "char(8)", "numeric(6,1)", "timestamptz", "short"}) +
        *one_of({"", "", "", " DEFAULT '12'", " NOT NULL", " UNIQUE",
                 " CHECK (" + name + " IS NOT NULL)"}));
  }
  if (*rc::gen::inRange(0, 3) == 0) {
    columns.emplace_back("g text GENERATED ALWAYS AS (upper(id::text)) STORED");
  }
  std::string list;
  for (std::size_t left = columns.size(); left > 0; --left) {
    const auto next =
        columns.begin() + *rc::gen::inRange(0, static_cast<int>(left));
    list += (list.empty() ? "" : ", ") + *next;
    columns.erase(next);
  }
  return "CREATE TABLE t (" + list + ")" +
         *one_of({"", " WITH (fillfactor = 50)"});
}

// Only for the fixture's members.
class AnyScript : public ByHand {
 public:
  void TestBody() override {}
};

// The oracle's own words: a refusal that says the folding is wrong.
constexpr const char* kOracle = "what pgrecast would make of it";

int accepted = 0;
int reshaped = 0;

RC_GTEST_PROP(AnyShortScript, GivesTheShadowWhatTheServerGives, ()) {
  static AnyScript fixture;
  const int length = *rc::gen::inRange(1, 6);
  // A new shape is named once, or not at all.
  const int shape_at = *rc::gen::inRange(0, 12);
  std::string script;
  std::string script_by_hand;
  for (int i = 0; i < length; ++i) {
    const bool shape = i == shape_at;
    const std::string statement = shape ? any_shape() : any_statement();
    script += statement + ";\n";
    script_by_hand +=
        (shape ? ByHand::new_table_by_hand(statement) : statement) + ";\n";
  }
  RC_LOG() << script;
  fixture.clear();

  const ByHand::Outcome hand = fixture.by_hand(kTable, script_by_hand);
  const ByHand::Outcome folded = fixture.folded_into_shadows(kTable, script);

  RC_LOG() << "by hand: " << hand.failed << "\nfolded: " << folded.refused
           << folded.failed << "\n";
  RC_CLASSIFY(hand.fine() && folded.fine(), "migrated");
  RC_CLASSIFY(hand.fine() && folded.fine() && shape_at < length,
              "migrated to a new shape");
  RC_CLASSIFY(hand.fine() && !folded.refused.empty(), "refused");
  // The table is so small that the plan tries the script on all of its rows.
  RC_ASSERT(folded.refused.find(kOracle) == std::string::npos);
  if (hand.fine()) RC_ASSERT(folded.failed == "");
  if (!hand.fine()) RC_ASSERT(!folded.fine());
  if (!hand.fine() || !folded.fine()) return;
  ++accepted;
  if (shape_at < length) ++reshaped;
  testing::TestPartResultArray failures;
  {
    const testing::ScopedFakeTestPartResultReporter reporter(&failures);
    fixture.compare();
  }
  for (int i = 0; i < failures.size(); ++i) {
    RC_LOG() << failures.GetTestPartResult(i).message() << "\n";
  }
  RC_ASSERT(failures.size() == 0);
}

// So that the property is about something.
TEST(AnyShortScript, IsOftenEnoughMigrated) {
  EXPECT_GT(accepted, 5);
  EXPECT_GT(reshaped, 1);
}

}  // namespace
}  // namespace pgrecast::plan
