#include "node_tree.h"

#include <gtest/gtest.h>

#include <string>

namespace pgrecast::plan {
namespace {

using Kind = NodeUse::Kind;

// As a server of version 15 stores a::text || upper(b), shortened.
constexpr const char* kTree =
    "{OPEXPR :opno 654 :opfuncid 1258 :opresulttype 25 :args ({COERCEVIAIO "
    ":arg {VAR :varno 1 :vartype 1184 :location 4} :resulttype 25} {FUNCEXPR "
    ":funcid 871 :funcresulttype 25 :args ({CONST :consttype 25 :constisnull "
    "false :constvalue 5 [ 20 0 0 0 97 ]}) :location 30}) :location 8}";

TEST(NodeTree, TellsWhatIsCalledWithWhat) {
  const auto uses = read_uses(kTree);

  ASSERT_EQ(uses.size(), 4U);
  EXPECT_EQ(uses[0].kind, Kind::kOperator);
  EXPECT_EQ(uses[0].oid, 654U);
  EXPECT_EQ(uses[0].arguments, (std::vector<Oid>{25, 25}));
  EXPECT_EQ(uses[1].kind, Kind::kOutput);
  EXPECT_EQ(uses[1].oid, 1184U);
  EXPECT_EQ(uses[2].kind, Kind::kInput);
  EXPECT_EQ(uses[2].oid, 25U);
  EXPECT_EQ(uses[3].kind, Kind::kFunction);
  EXPECT_EQ(uses[3].oid, 871U);
}

// The name of an argument; the server puts a backslash before blanks and
// braces, and none before a colon.
TEST(NodeTree, IsNotMisledByNames) {
  const auto named = read_uses(
      R"({FUNCEXPR :funcid 7 :args ({NAMEDARGEXPR :name :funcid\ 8 :arg {VAR )"
      R"(:vartype 25}} {NAMEDARGEXPR :name :\}\{FUNCEXPR\ :funcid\ 9 :arg )"
      R"({VAR :vartype 23}})})");
  ASSERT_EQ(named.size(), 1U);
  EXPECT_EQ(named[0].oid, 7U);
  EXPECT_EQ(named[0].arguments, (std::vector<Oid>{25, 23}));
}

TEST(NodeTree, OfWhichAnythingIsNotKnownIsNoGround) {
  const std::string whole = kTree;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto uses = read_uses(whole.substr(0, size));
    ASSERT_EQ(uses.size(), 1U) << size;
    EXPECT_EQ(uses[0].kind, Kind::kOther);
  }
  EXPECT_EQ(read_uses("{NEWEXPR :arg {VAR :vartype 25}}")[0].kind,
            Kind::kOther);
  EXPECT_EQ(read_uses("{SQLVALUEFUNCTION :op 3 :type 1184}")[0].kind,
            Kind::kCurrent);
  EXPECT_EQ(read_uses(std::string(100000, '('))[0].kind, Kind::kOther);
}

}  // namespace
}  // namespace pgrecast::plan
