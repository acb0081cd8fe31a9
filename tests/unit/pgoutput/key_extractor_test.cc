#include "pgrecast/pgoutput/key_extractor.h"

#include "pgrecast/base/error.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pgrecast::pgoutput {
namespace {

using Columns = std::vector<TupleColumn>;
using Keys = std::vector<std::vector<std::string>>;

constexpr std::uint32_t kPairs = 16397;

TupleColumn text(std::string_view value) {
  return {.kind = ColumnKind::kText, .value = value};
}
TupleColumn null() {
  return {};
}
TupleColumn unchanged() {
  return {.kind = ColumnKind::kUnchangedToast, .value = {}};
}

Keys copied(const DirtyKeys& keys) {
  Keys copies;
  for (const Key key : keys) copies.emplace_back(key.begin(), key.end());
  return copies;
}

// Table app.pairs (a, b, v, PRIMARY KEY (b, a)): the key's order is not that of
// the columns.
class KeyExtractorTest : public testing::Test {
 protected:
  static KnownRelation pairs() {
    const auto column = [](const char* name, bool in_key) {
      return KnownRelation::Column{.in_replica_identity = in_key,
                                   .name = name,
                                   .type_oid = 25,
                                   .type_modifier = -1};
    };
    KnownRelation relation;
    relation.oid = kPairs;
    relation.schema = "app";
    relation.name = "pairs";
    relation.columns = {column("a", true), column("b", true),
                        column("v", false)};
    return relation;
  }

  Keys inserted(const Columns& row) {
    return copied(extractor_.keys_of(Insert{.stream_xid = {},
                                            .relation_oid = kPairs,
                                            .new_tuple = {.columns = row}}));
  }
  Keys updated(const Columns& row) {
    return copied(extractor_.keys_of(Update{.stream_xid = {},
                                            .relation_oid = kPairs,
                                            .old_tuple = {},
                                            .new_tuple = {.columns = row}}));
  }
  Keys updated(OldTuple::Kind kind, const Columns& old_row,
               const Columns& row) {
    return copied(extractor_.keys_of(Update{
        .stream_xid = {},
        .relation_oid = kPairs,
        .old_tuple = OldTuple{.kind = kind, .tuple = {.columns = old_row}},
        .new_tuple = {.columns = row}}));
  }
  Keys deleted(OldTuple::Kind kind, const Columns& row) {
    return copied(extractor_.keys_of(
        Delete{.stream_xid = {},
               .relation_oid = kPairs,
               .old_tuple = {.kind = kind, .tuple = {.columns = row}}}));
  }

  template <typename Action>
  static std::string error_of(const Action& action) {
    try {
      action();
    } catch (const ProtocolError& error) {
      return error.what();
    }
    return "nothing was thrown";
  }

  static constexpr auto kKey = OldTuple::Kind::kKey;
  static constexpr auto kRow = OldTuple::Kind::kRow;

  std::vector<std::string> key_columns_ = {"b", "a"};
  KeyExtractor extractor_ = KeyExtractor(pairs(), key_columns_);
};

TEST_F(KeyExtractorTest, AnInsertDirtiesItsKeyInTheKeysOrder) {
  EXPECT_EQ(inserted({text("7"), text("x"), null()}), (Keys{{"x", "7"}}));
}

TEST_F(KeyExtractorTest, AnUpdateOutsideTheKeyDirtiesOneKey) {
  EXPECT_EQ(updated({text("7"), text("x"), text("w")}), (Keys{{"x", "7"}}));
  EXPECT_EQ(updated(kRow, {text("7"), text("x"), text("v")},
                    {text("7"), text("x"), text("w")}),
            (Keys{{"x", "7"}}));
}

TEST_F(KeyExtractorTest, AnUpdateOfTheKeyDirtiesTheNewAndTheOldKey) {
  EXPECT_EQ(updated(kKey, {text("7"), text("x"), null()},
                    {text("8"), text("x"), text("v")}),
            (Keys{{"x", "8"}, {"x", "7"}}));
  EXPECT_EQ(updated(kRow, {text("7"), text("x"), text("v")},
                    {text("7"), text("y"), text("v")}),
            (Keys{{"y", "7"}, {"x", "7"}}));
}

// To numeric 1.0 and 1.00 are equal; the bytes decide.
TEST_F(KeyExtractorTest, TwoFormsOfAnEqualValueAreTwoKeys) {
  EXPECT_EQ(updated(kKey, {text("1.0"), text("x"), null()},
                    {text("1.00"), text("x"), null()}),
            (Keys{{"x", "1.00"}, {"x", "1.0"}}));
}

TEST_F(KeyExtractorTest, ADeleteDirtiesTheOldKey) {
  EXPECT_EQ(deleted(kKey, {text("7"), text("x"), null()}), (Keys{{"x", "7"}}));
  EXPECT_EQ(deleted(kRow, {text("7"), text("x"), text("v")}),
            (Keys{{"x", "7"}}));
}

// The server keeps a key column back from the new row, though it is the key,
// where it is stored out of line and did not change; it sends the old key then.
TEST_F(KeyExtractorTest, AnUnchangedKeyColumnComesFromTheOldRow) {
  EXPECT_EQ(updated(kKey, {text("7"), text("long"), null()},
                    {text("7"), unchanged(), text("w")}),
            (Keys{{"long", "7"}}));
  EXPECT_EQ(updated(kRow, {text("7"), text("long"), text("v")},
                    {text("8"), unchanged(), text("v")}),
            (Keys{{"long", "8"}, {"long", "7"}}));
}

TEST_F(KeyExtractorTest, AnEmptyValueIsAValue) {
  EXPECT_EQ(inserted({text("7"), text(""), null()}), (Keys{{"", "7"}}));
}

TEST_F(KeyExtractorTest, KeysOfOneChangeDoNotLeakIntoTheNext) {
  updated(kKey, {text("7"), text("x"), null()}, {text("8"), text("y"), null()});

  EXPECT_EQ(inserted({text("1"), text("2"), null()}), (Keys{{"2", "1"}}));
  EXPECT_EQ(updated({text("3"), text("4"), null()}), (Keys{{"4", "3"}}));
}

TEST_F(KeyExtractorTest, NamesTheKeyColumnThatIsNull) {
  EXPECT_EQ(error_of([&] {
              inserted({text("7"), null(), null()});
            }),
            "key column \"b\" of app.pairs is NULL in an insert's row");
  EXPECT_EQ(error_of([&] {
              updated({null(), text("x"), null()});
            }),
            "key column \"a\" of app.pairs is NULL in an update's new row");
  EXPECT_EQ(error_of([&] {
              updated(kKey, {null(), text("x"), null()},
                      {text("7"), text("x"), null()});
            }),
            "key column \"a\" of app.pairs is NULL in an update's old row");
  EXPECT_EQ(error_of([&] {
              updated(kKey, {text("7"), text("x"), null()},
                      {null(), text("x"), null()});
            }),
            "key column \"a\" of app.pairs is NULL in an update's new row");
  EXPECT_EQ(error_of([&] {
              deleted(kKey, {null(), text("x"), null()});
            }),
            "key column \"a\" of app.pairs is NULL in a delete's old row");
}

TEST_F(KeyExtractorTest, NamesTheKeyColumnThatIsMissing) {
  EXPECT_EQ(error_of([&] { inserted({text("7")}); }),
            "key column \"b\" of app.pairs is missing in an insert's row");
  EXPECT_EQ(error_of([&] {
              updated(kKey, {text("7"), text("x")}, {text("7")});
            }),
            "key column \"b\" of app.pairs is missing in an update's new row");
}

TEST_F(KeyExtractorTest, RefusesAKeyColumnThatWasNotSentAtAll) {
  EXPECT_THROW(inserted({text("7"), unchanged(), null()}), ProtocolError);
  EXPECT_THROW(updated({text("7"), unchanged(), null()}), ProtocolError);
  EXPECT_THROW(deleted(kKey, {text("7"), unchanged(), null()}), ProtocolError);
  EXPECT_THROW(updated(kKey, {text("7"), unchanged(), null()},
                       {text("7"), unchanged(), null()}),
               ProtocolError);
}

TEST_F(KeyExtractorTest, RefusesAKeyInBinaryForm) {
  EXPECT_THROW(
      inserted(
          {text("7"), {.kind = ColumnKind::kBinary, .value = "x"}, null()}),
      ProtocolError);
}

TEST_F(KeyExtractorTest, RefusesATupleWithMoreColumnsThanTheRelation) {
  const Columns four = {text("7"), text("x"), null(), null()};
  const Columns three = {text("7"), text("x"), null()};

  EXPECT_THROW(inserted(four), ProtocolError);
  EXPECT_THROW(updated(four), ProtocolError);
  EXPECT_THROW(updated(kRow, four, three), ProtocolError);
  EXPECT_THROW(updated(kRow, three, four), ProtocolError);
  EXPECT_THROW(deleted(kRow, four), ProtocolError);
}

TEST_F(KeyExtractorTest, IsNotMadeForARelationWithoutAKeyColumn) {
  KnownRelation renamed = pairs();
  renamed.columns[1].name = "b2";

  EXPECT_THROW(KeyExtractor(renamed, key_columns_), SourceChanged);
}

// An UPDATE of that column would come without its old key: a row would stay in
// the shadow for ever.
TEST_F(KeyExtractorTest, IsNotMadeWhereTheKeyIsOutsideTheReplicaIdentity) {
  KnownRelation other_identity = pairs();
  other_identity.columns[0].in_replica_identity = false;

  EXPECT_THROW(KeyExtractor(other_identity, key_columns_), SourceChanged);
}

}  // namespace
}  // namespace pgrecast::pgoutput
