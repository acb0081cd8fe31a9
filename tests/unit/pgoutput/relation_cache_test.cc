#include "pgrecast/pgoutput/relation_cache.h"

#include "pgrecast/base/error.h"

#include <gtest/gtest.h>

#include <span>
#include <string>
#include <vector>

namespace pgrecast::pgoutput {
namespace {

using Put = RelationCache::Put;

class RelationCacheTest : public testing::Test {
 protected:
  Relation orders() const {
    return {.stream_xid = {},
            .oid = 16384,
            .schema = "app",
            .name = "orders",
            .replica_identity = ReplicaIdentity::kDefault,
            .columns = columns_};
  }

  std::vector<RelationColumn> columns_ = {{.in_replica_identity = true,
                                           .name = "id",
                                           .type_oid = 20,
                                           .type_modifier = -1},
                                          {.in_replica_identity = false,
                                           .name = "note",
                                           .type_oid = 25,
                                           .type_modifier = -1}};
  RelationCache cache_;
};

TEST_F(RelationCacheTest, KeepsARelationBeyondItsMessage) {
  std::string name = "orders";
  Relation message = orders();
  message.name = name;

  EXPECT_EQ(cache_.put(message), Put::kNew);
  name = "??????";
  columns_.clear();

  const KnownRelation& known = cache_.find(16384);
  EXPECT_EQ(known.qualified_name(), "app.orders");
  ASSERT_EQ(known.columns.size(), 2U);
  EXPECT_EQ(known.columns[0].name, "id");
  EXPECT_TRUE(known.columns[0].in_replica_identity);
  EXPECT_FALSE(known.columns[1].in_replica_identity);
}

TEST_F(RelationCacheTest, TellsARepetitionFromAChange) {
  EXPECT_EQ(cache_.put(orders()), Put::kNew);
  EXPECT_EQ(cache_.put(orders()), Put::kSame);

  columns_[0].type_oid = 23;
  EXPECT_EQ(cache_.put(orders()), Put::kChanged);
  EXPECT_EQ(cache_.put(orders()), Put::kSame);
  EXPECT_EQ(cache_.find(16384).columns[0].type_oid, 23U);
}

TEST_F(RelationCacheTest, SeesEveryKindOfChange) {
  const std::vector<RelationColumn> before = columns_;
  Relation renamed = orders();
  renamed.name = "orders_old";
  Relation moved = orders();
  moved.schema = "archive";
  Relation full = orders();
  full.replica_identity = ReplicaIdentity::kFull;

  for (const Relation& changed : {renamed, moved, full}) {
    EXPECT_EQ(cache_.put(changed) == Put::kSame, false) << changed.name;
    EXPECT_EQ(cache_.put(orders()), Put::kChanged) << changed.name;
  }
  columns_[0].in_replica_identity = false;
  EXPECT_EQ(cache_.put(orders()), Put::kChanged);
  columns_ = before;
  columns_[1].name = "remark";
  EXPECT_EQ(cache_.put(orders()), Put::kChanged);
  columns_[1].type_modifier = 8;
  EXPECT_EQ(cache_.put(orders()), Put::kChanged);
  columns_.pop_back();
  EXPECT_EQ(cache_.put(orders()), Put::kChanged);
}

// Inside a stream block a description carries the transaction's id.
TEST_F(RelationCacheTest, ADescriptionInAnotherTransactionIsTheSame) {
  cache_.put(orders());
  Relation streamed = orders();
  streamed.stream_xid = 700;

  EXPECT_EQ(cache_.put(streamed), Put::kSame);
}

TEST_F(RelationCacheTest, KeepsTwoRelationsOfOneNameApart) {
  Relation other = orders();
  other.oid = 16999;

  EXPECT_EQ(cache_.put(orders()), Put::kNew);
  EXPECT_EQ(cache_.put(other), Put::kNew);
  EXPECT_EQ(cache_.put(orders()), Put::kSame);
}

TEST_F(RelationCacheTest, AnEmptySchemaIsPgCatalog) {
  Relation builtin = orders();
  builtin.schema = "";
  cache_.put(builtin);

  EXPECT_EQ(cache_.find(16384).qualified_name(), "pg_catalog.orders");
}

TEST_F(RelationCacheTest, RefusesAChangeOfARelationThatWasNotDescribed) {
  cache_.put(orders());

  EXPECT_THROW(cache_.find(16385), ProtocolError);
}

// PostgreSQL 15.0 and 15.1 send all columns of a row where a column list left
// some out of the description: positions then mean other columns.
TEST_F(RelationCacheTest, RefusesATupleWithMoreColumnsThanItsRelation) {
  cache_.put(orders());
  const KnownRelation& known = cache_.find(16384);
  const std::vector<TupleColumn> three(3);

  EXPECT_THROW(known.check_columns({.columns = three}), ProtocolError);
  EXPECT_NO_THROW(known.check_columns(
      {.columns = std::span<const TupleColumn>(three).first(2)}));
}

}  // namespace
}  // namespace pgrecast::pgoutput
