#include "pgrecast/migration/cleanup.h"

#include "pgrecast/catalog/table.h"
#include "pgrecast/exchange/exchange.h"
#include "pgrecast/pg/errors.h"

#include "support/eventually.h"
#include "support/test_database.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace pgrecast::migration {
namespace {

constexpr const char* kShadows = "pgrecast_\"x\"";
constexpr const char* kRetired = "pgrecast_\"x\"_retired";

// What a migration of a partitioned table leaves to be removed: a shadow and a
// retired table, both of several tables.
class CleanupTest : public test::TestDatabase {
 protected:
  void SetUp() override {
    session().exec(R"sql(
      CREATE SCHEMA "pgrecast_""x"""; CREATE SCHEMA "pgrecast_""x""_retired";
      CREATE TABLE "pgrecast_""x""".t (id int PRIMARY KEY) PARTITION BY RANGE (id);
      CREATE TABLE "pgrecast_""x""".t_low PARTITION OF "pgrecast_""x""".t
        FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id);
      CREATE TABLE "pgrecast_""x""".t_leaf PARTITION OF "pgrecast_""x""".t_low
        FOR VALUES FROM (0) TO (5);
      CREATE TABLE "pgrecast_""x""_retired".t (id serial) PARTITION BY HASH (id);
      CREATE TABLE "pgrecast_""x""_retired".t_0
        PARTITION OF "pgrecast_""x""_retired".t
        FOR VALUES WITH (MODULUS 1, REMAINDER 0);
      CREATE TABLE live (id int))sql");
    exchange::prepare_guard(connection_, kRetired);
    pg::Transaction transaction(connection_);
    insert_migration(connection_, record_);
    plan::TableTarget target;
    insert_table(connection_, "x", target, oid(kRetired), oid(kShadows), {});
    transaction.commit();
  }

  catalog::Oid oid(const std::string& schema) {
    return catalog::find_relation(connection_, schema, "t").value();
  }

  std::string schemas() {
    return session().query_value(
        "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'pgrecast%'");
  }
  std::string tables(const std::string& schema) {
    return session().query_value(
        "SELECT coalesce(string_agg(relname, ' ' ORDER BY relname), '')"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE relkind IN ('r', 'p') AND nspname = $1",
        schema);
  }

  std::string kept_by(void (*remove)(pg::Connection&, const MigrationRecord&)) {
    try {
      remove(connection_, record_);
    } catch (const SchemaKept& error) {
      return error.what();
    }
    return "";
  }

  static MigrationRecord record() {
    MigrationRecord record;
    record.name = "x";
    record.id = "00000000-0000-0000-0000-000000000001";
    record.schemas = {kShadows, kRetired};
    record.slot = "pgrecast_x";
    record.publication = "pgrecast_x";
    return record;
  }

  pg::Connection connection_ = pg::Connection::open(
      {.conninfo = dsn(), .application = "pgrecast"}, "test", {});
  MigrationRecord record_ = record();
};

void undo(pg::Connection& connection, const MigrationRecord& record) {
  undo_migration(connection, record, "/nowhere/at/all");
}

TEST_F(CleanupTest, FinishDropsTheRetiredTableWithItsPartitions) {
  // By then the shadow has left.
  session().exec(R"(ALTER TABLE "pgrecast_""x""".t SET SCHEMA public;
    ALTER TABLE "pgrecast_""x""".t_low SET SCHEMA public;
    ALTER TABLE "pgrecast_""x""".t_leaf SET SCHEMA public)");

  EXPECT_EQ(kept_by(remove_retired), "");

  EXPECT_EQ(schemas(), "0");
  EXPECT_EQ(tables("public"), "live t t_leaf t_low");
}

TEST_F(CleanupTest, UndoDropsTheShadowWithItsPartitionsAndNothingElse) {
  session().exec(R"(CREATE TABLE "pgrecast_""x""".mine (i int);
    ALTER TABLE "pgrecast_""x""_retired".t SET SCHEMA public;
    ALTER TABLE "pgrecast_""x""_retired".t_0 SET SCHEMA public)");

  const std::string kept = kept_by(undo);

  EXPECT_NE(kept.find("mine"), std::string::npos) << kept;
  EXPECT_EQ(tables(kShadows), "mine");
  EXPECT_EQ(tables("public"), "live t t_0");
  EXPECT_TRUE(read_migration(connection_, "x").has_value());

  session().exec(R"(DROP TABLE "pgrecast_""x""".mine)");
  EXPECT_EQ(kept_by(undo), "");
  EXPECT_EQ(schemas(), "0");
}

// Whoever moved it out of our schema wants to keep it.
TEST_F(CleanupTest, ARetiredTableThatWasMovedAwayIsKept) {
  session().exec(R"(ALTER TABLE "pgrecast_""x""_retired".t SET SCHEMA public;
    ALTER TABLE "pgrecast_""x""_retired".t_0 SET SCHEMA public;
    DROP TABLE "pgrecast_""x""".t)");

  EXPECT_EQ(kept_by(remove_retired), "");

  EXPECT_EQ(schemas(), "0");
  EXPECT_EQ(tables("public"), "live t t_0");
}

// A dump that had begun by then held the state's tables for hours: `finish`
// waited for it, and `status` and other migrations for `finish`.
TEST_F(CleanupTest, WhoReadsTheStateIsWaitedForWithoutBlockingOthers) {
  session().exec(R"(ALTER TABLE "pgrecast_""x""".t SET SCHEMA public;
    ALTER TABLE "pgrecast_""x""".t_low SET SCHEMA public;
    ALTER TABLE "pgrecast_""x""".t_leaf SET SCHEMA public)");
  test::Session dump = session();
  dump.exec("BEGIN; SELECT FROM pgrecast.format");
  std::jthread finish([this] { EXPECT_EQ(kept_by(remove_retired), ""); });
  test::Session other = session();
  ASSERT_TRUE(test::eventually([&] {
    return other.query_value(
               "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = "
               "'pgrecast.format'::regclass") == "1";
  }));

  // Longer than it may queue.
  other.exec("SET statement_timeout = '2s'");
  EXPECT_EQ(other.try_exec("SELECT FROM pgrecast.format"), test::kSuccess);

  dump.exec("COMMIT");
  finish.join();
  EXPECT_EQ(schemas(), "0");
}

// The comment of a key, say, where another key could not be made.
TEST_F(CleanupTest, WhatFailsAfterTheExchangeKeepsNothingElseFromBeingDone) {
  EXPECT_THROW(do_afterwards(connection_, {"CREATE TABLE public.live ()",
                                           "CREATE TABLE public.later ()"}),
               pg::SqlError);

  EXPECT_EQ(session().query_value("SELECT count(*) FROM later"), "0");
}

}  // namespace
}  // namespace pgrecast::migration
