// A server that is too old. Label `old`: run against PostgreSQL 13.

#include "support/process.h"
#include "support/program.h"
#include "support/test_database.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

namespace pgrecast::test {
namespace {

constexpr int kRefused = 3;

using OldServer = TestDatabase;

TEST_F(OldServer, IsRefusedAndLeftAsItWas) {
  if (cluster().version() >= 14) GTEST_SKIP() << "the server is new enough";
  Session owner = session();
  owner.exec("CREATE TABLE t (id int PRIMARY KEY)");
  const std::string relations =
      "SELECT string_agg(oid::text, ' ' ORDER BY oid) FROM pg_class";
  const std::string before = owner.query_value(relations);
  std::string file = "/tmp/pgrecast_plan_XXXXXX";
  close(mkstemp(file.data()));
  std::ofstream(file) << "ALTER TABLE t ALTER id TYPE bigint";

  for (const char* command : {"plan", "run"}) {
    Program program({command, "--dsn", dsn(), file, "--name", "planned"});
    EXPECT_EQ(program.wait(), kRefused) << command;
    const std::string text = program.output();
    const std::size_t said =
        text.find("the server is older than PostgreSQL 14");
    ASSERT_NE(said, std::string::npos) << text;
    EXPECT_NE(text.find("upgrade the server", said), std::string::npos) << text;
  }

  unlink(file.c_str());
  EXPECT_EQ(owner.query_value(relations), before);
  EXPECT_EQ(owner.query_value("SELECT count(*) FROM pg_replication_slots"),
            "0");
  EXPECT_EQ(owner.query_value("SELECT count(*) FROM pg_publication"), "0");
}

}  // namespace
}  // namespace pgrecast::test
