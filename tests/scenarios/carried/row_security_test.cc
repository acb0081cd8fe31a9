// Never a moment in which a reader sees a row that a policy hides: not in the
// table, not through views, and not in the shadow or in the retired table.

#include "scenarios/carried/operation.h"
#include "scenarios/carried/writers.h"

#include <fmt/format.h>

#include <atomic>

namespace pgrecast::test {
namespace {

class RowSecurityTest : public Operation {
 protected:
  void SetUp() override {
    reader_ = database().name() + "-reader";
    // A reader who gets at whatever is made, by default privileges and by a
    // role of the server's own; both common, and no way around a policy.
    superuser_session().exec(fmt::format(
        "CREATE ROLE \"{0}\" LOGIN IN ROLE pg_read_all_data; "
        "ALTER DEFAULT PRIVILEGES FOR ROLE \"{1}\" GRANT SELECT ON TABLES TO "
        "\"{0}\"; ALTER DEFAULT PRIVILEGES FOR ROLE \"{1}\" GRANT USAGE ON "
        "SCHEMAS TO \"{0}\"",
        reader_, database().role()));
    session().exec(R"sql(
CREATE TABLE t (id bigserial PRIMARY KEY, v int, secret bool NOT NULL);
INSERT INTO t (v, secret) SELECT g, g % 2 = 0 FROM generate_series(1, 5000) g;
CREATE POLICY open ON t USING (NOT secret);
CREATE POLICY low ON t AS RESTRICTIVE USING (v < 1000000);
ALTER TABLE t ENABLE ROW LEVEL SECURITY)sql");
    if (cluster().version() < 15) return;
    session().exec(
        "CREATE VIEW anew WITH (security_invoker) AS SELECT v, secret FROM t; "
        "CREATE VIEW replaced WITH (security_invoker, security_barrier) AS "
        "SELECT id, secret FROM t; "
        "CREATE VIEW above WITH (security_invoker) AS SELECT * FROM anew");
  }
  void TearDown() override {
    readers_.reset();
    database().drop();
    cluster().session().exec(fmt::format("DROP ROLE \"{}\"", reader_));
  }

  // Sessions that count secret rows without a pause, wherever there are any.
  void start_readers() {
    std::vector<std::string> from = {"t", "pgrecast_rls.t",
                                     "pgrecast_rls_retired.t"};
    if (cluster().version() >= 15) {
      from.insert(from.end(), {"anew", "replaced", "above"});
    }
    readers_.emplace(cluster().dsn(database().name(), reader_));
    readers_->add(4, [this, from](Session& session, std::mt19937& random) {
      for (int i = 0; i < 30; ++i) {
        const std::string& relation = from[random() % from.size()];
        read(session, relation);
      }
    });
  }

  void read(Session& session, const std::string& relation) {
    try {
      const bool seen = session.query_value("SELECT count(*) FROM " + relation +
                                            " WHERE secret") != "0";
      ++reads_;
      if (seen) ++secrets_;
    } catch (const SqlFailure& failure) {
      // A schema of ours that is not there, or not for everybody.
      const bool ours = relation.starts_with("pgrecast");
      const std::string& state = failure.sqlstate();
      if (!ours || (state != "42P01" && state != "42501" && state != "3F000")) {
        throw;
      }
    }
  }

  std::string reader_;
  std::optional<Writers> readers_;
  std::atomic<long> reads_{0};
  std::atomic<long> secrets_{0};
};

TEST_F(RowSecurityTest, NoReaderEverSeesARowThatAPolicyHides) {
  Writers writers(dsn());
  writers.add(2, [](Session& session, std::mt19937& random) {
    session.exec("INSERT INTO t (v, secret) VALUES ($1::int, $1::int % 2 = 0)",
                 random() % 100000);
  });
  start_readers();
  ASSERT_TRUE(readers_->go_on(20));

  migrate("rls", "ALTER TABLE t ALTER v TYPE bigint");

  EXPECT_TRUE(readers_->go_on(20));
  command("finish", "rls");
  readers_->stop();
  writers.stop();
  EXPECT_EQ(secrets_, 0);
  EXPECT_TRUE(readers_->refused().empty());
  for (const auto& [state, count] : writers.refused()) {
    ADD_FAILURE() << state << ": " << count;
  }
  EXPECT_GT(reads_, 1000);
}

// What the test above looks for, it finds: an exchange that leaves row security
// for a later transaction.
TEST_F(RowSecurityTest, TheReadersNoticeAnExchangeThatForgetsThePolicies) {
  session().exec(
      "CREATE TABLE shadow (LIKE t INCLUDING ALL); INSERT INTO "
      "shadow SELECT * FROM t");
  start_readers();
  ASSERT_TRUE(readers_->go_on(20));
  ASSERT_EQ(secrets_, 0);

  session().exec(
      "ALTER TABLE t RENAME TO retired; ALTER TABLE shadow RENAME "
      "TO t");

  EXPECT_TRUE(eventually([&] { return secrets_ > 0; }));
}

}  // namespace
}  // namespace pgrecast::test
