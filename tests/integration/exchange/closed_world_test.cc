// The list in docs/reference/carried.md is closed: whatever kind of thing the
// code knows has a row there, and each row is about something that it knows.

#include "support/process.h"

#include <gtest/gtest.h>

#include <regex>
#include <string>
#include <vector>

namespace pgrecast::test {
namespace {

std::string source(const std::string& file) {
  return read_file(std::string(PGRECAST_TEST_SOURCE_DIR) + "/" + file);
}

void add_matches(const std::string& text, const std::string& regex,
                 const std::string& kind, std::vector<std::string>& kinds) {
  const std::regex wanted(regex);
  for (std::sregex_iterator at(text.begin(), text.end(), wanted), end;
       at != end; ++at) {
    kinds.push_back(kind + at->str(1));
  }
}

// "member index": what makes up a table. "fact trigger ": what the inventory
// compares. "refused ExtensionMember": what a test says is not carried.
std::vector<std::string> kinds_in_the_code() {
  std::vector<std::string> kinds;
  const std::string dependents = source("src/catalog/dependents.cc");
  const auto members = dependents.find("kMembers = R");
  const std::string part =
      dependents.substr(members, dependents.find(")sql\"", members) - members);
  add_matches(part, "'([a-z][a-z ]+)'", "member ", kinds);
  add_matches(
      source("src/plan/preconditions.cc"),
      R"re(\nstd::vector<std::string> (oid|event_trigger)_warnings\()re",
      "warned ", kinds);
  for (const char* file : {"src/catalog/shape.cc", "src/exchange/inventory.cc",
                           "src/exchange/inventory_views.cc",
                           "src/plan/child.cc", "src/plan/parent.cc"}) {
    const std::string text = source(file);
    add_matches(text, R"(\nSELECT (?:CASE .*THEN )?'([a-z ]+))", "fact ",
                kinds);
    add_matches(text, R"(\n  \('([a-z ]+)',)", "fact ", kinds);
  }
  for (const char* file : {"dependents_test.cc", "carried_views_test.cc",
                           "materialized_views_test.cc"}) {
    const std::string text =
        source(std::string("tests/integration/exchange/") + file);
    add_matches(text, R"re(Uncarried\{\s*"(\w+)")re", "refused ", kinds);
    add_matches(text, R"re(OnAView\{\s*"(\w+)")re", "refused on a view ",
                kinds);
    add_matches(text, R"(TEST_F\(DependentsTest, (\w+IsRefused)\))", "refused ",
                kinds);
  }
  return kinds;
}

// The first cells of the table.
std::vector<std::string> rows_of_the_manual() {
  std::vector<std::string> rows;
  add_matches("\n" + source("docs/reference/carried.md"), R"(\n\| ([^|]+) \|)",
              "", rows);
  std::erase_if(rows, [](const std::string& row) {
    return row == "kind" || row.starts_with("---");
  });
  return rows;
}

struct Pair {
  const char* kind;  // both are regular expressions
  const char* row;
};

constexpr Pair kPairs[] = {
    {"^(fact column|member default)", "^columns:"},
    {"^(fact (option|replica identity|persistence|tablespace|access method)|"
     "member table|member toast)",
     "^table options, also of TOAST"},
    {"^(member index|fact index|refused (InvalidIndex))", "^indexes, with"},
    {"^(member constraint|fact constraint)", "^primary key, unique"},
    {"^(fact (foreign key|referenced by)|refused ForeignKey(OfAnother|ToA))",
     "^foreign keys (out of|that the script adds)"},
    {"^(member|fact) (sequence|identity|owned)", "^sequences:"},
    {"^refused AnotherTablesUseOfItsIdentity", "^sequences:"},
    {"^(member|fact) trigger", "^triggers, with"},
    {"^(member|fact) rule", "^rules of the table"},
    {"^((member|fact) policy|fact row security)", "^policies of the table"},
    {"^fact (owner|grant)", "^owner, grants"},
    {"^refused (Column|RowType)?GrantOfARole", "^- grants that another role"},
    {"^fact comment", "^comments"},
    {"^(member|fact) statistics", "^extended statistics"},
    {"^((member|fact) publication|refused PublicationOfAnotherOwner)",
     "^publications of the table"},
    {"^refused Publication(ForAllTables|OfTheSchema)",
     "^publications `FOR ALL TABLES`"},
    {"^fact view", "^views whose columns keep"},
    {"^(fact view|refused ViewOfAnotherOwner)", "^views whose columns change"},
    {"^refused on a view ", "^- what depends on such a view"},
    {"^refused AReaderByPlace", "^- those that name the table's columns"},
    {"^(fact used by|refused RuleOfAnother)", "^rules of other tables"},
    {"^(fact used by|refused PolicyOfAnother)", "^policies of other tables"},
    {"^(fact used by|refused AtomicFunction)", "^functions with a body"},
    {"[Mm]aterialized", "[Mm]aterialized views"},
    {"^(member row type|refused RowType)",
     "^functions, columns, domains, types"},
    {"^fact row type", "^grants and comments on the table's row"},
    {"^refused ForeignKeyWithDisabled", "whose own triggers are disabled"},
    {"^refused (ConstraintTriggerFromIt|RegclassIn)", "^constraint triggers"},
    {"^fact inherit", "inheritance"},
    {"ATypedTable", "typed tables"},
    {"[Pp]artition", "[Pp]artition"},
    {"^fact security label", "^security labels of the table"},
    {"^fact security label", "^- those whose provider"},
    {"^refused SecurityLabel", "^other security labels"},
    {"^refused (ExtensionMember|IndexThatDependsOnAnExtension)",
     "^extension membership"},
    {"^refused TheTargetOfASubscription", "^target of a subscription"},
    {"^warned event_trigger", "^event triggers"},
    {"^warned oid", "^the table's OID as data"},
    // What is not known is in the words above the table.
    {"^refused UnknownKind", "."},
};

bool matches(const std::string& text, const char* regex) {
  return std::regex_search(text, std::regex(regex));
}

TEST(ClosedWorldTest, EveryKindThatTheCodeKnowsHasARowInTheManual) {
  const auto rows = rows_of_the_manual();
  const auto kinds = kinds_in_the_code();
  ASSERT_GT(kinds.size(), 80U) << "the sources are written otherwise now";
  for (const std::string& kind : kinds) {
    bool found = false;
    for (const Pair& pair : kPairs) {
      if (!matches(kind, pair.kind)) continue;
      for (const std::string& row : rows) found |= matches(row, pair.row);
    }
    EXPECT_TRUE(found) << kind
                       << ": no row of docs/reference/carried.md is about it, "
                          "or kPairs does not say which";
  }
}

TEST(ClosedWorldTest, EveryRowOfTheManualIsAboutAKindThatTheCodeKnows) {
  const auto rows = rows_of_the_manual();
  const auto kinds = kinds_in_the_code();
  ASSERT_GT(rows.size(), 25U) << "the manual is written otherwise now";
  for (const std::string& row : rows) {
    bool found = false;
    for (const Pair& pair : kPairs) {
      if (std::string(pair.row) == "." || !matches(row, pair.row)) continue;
      for (const std::string& kind : kinds) found |= matches(kind, pair.kind);
    }
    EXPECT_TRUE(found)
        << row
        << ": nothing in the code is about this row of "
           "docs/reference/carried.md, or kPairs does not say so";
  }
}

}  // namespace
}  // namespace pgrecast::test
