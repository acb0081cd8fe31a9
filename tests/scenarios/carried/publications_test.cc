// A native subscriber on another server follows through the exchange, without
// a gap or a double row.

#include "scenarios/carried/operation.h"
#include "scenarios/carried/writers.h"

#include <fmt/format.h>

namespace pgrecast::test {
namespace {

// Of the rows that the subscriber is to have.
constexpr const char* kRows =
    "SELECT count(*) || ' ' || coalesce(md5(string_agg(id || ':' || v, ' ' "
    "ORDER BY id)), '') FROM t WHERE id % 3 <> 0";

class PublicationsTest : public Operation {
 protected:
  // `key`: the subscriber's type of it. `part`: what of the table is
  // published, where the server has column lists.
  void follow_through(const std::string& script, const std::string& key,
                      const std::string& part) {
    const bool filters = cluster().version() >= 15;
    session().exec(
        "CREATE TABLE t (id int PRIMARY KEY, v int, w text); "
        "INSERT INTO t SELECT g, g, 'w' FROM generate_series(1, 3000) g");
    session().exec("CREATE PUBLICATION feed FOR TABLE t" +
                   (filters ? part : ""));
    Session subscriber = subscriber_.session();
    subscriber.exec(fmt::format("CREATE TABLE t (id {} PRIMARY KEY, v int{})",
                                key, filters ? "" : ", w text"));
    subscriber.exec(
        fmt::format("CREATE SUBSCRIPTION feed CONNECTION '{}' PUBLICATION feed",
                    quoted(superuser_dsn())));
    ASSERT_TRUE(eventually([&] {
      return subscriber.query_value(
                 "SELECT count(*) FROM pg_subscription_rel "
                 "WHERE srsubstate = 'r'") == "1";
    }));
    Writers writers(dsn());
    writers.add(4, [](Session& session, std::mt19937& random) {
      const auto id = static_cast<int>(random() % 4000) + 1;
      switch (random() % 3) {
        case 0:
          return session.exec(
              "INSERT INTO t VALUES ($1, 0, 'new') ON CONFLICT DO NOTHING", id);
        case 1:
          return session.exec("DELETE FROM t WHERE id = $1", id);
        default:
          return session.exec("UPDATE t SET v = v + 1 WHERE id = $1", id);
      }
    });
    EXPECT_TRUE(writers.go_on(50));

    migrate("followed", script);

    EXPECT_TRUE(writers.go_on(300));
    writers.stop();
    EXPECT_TRUE(writers.refused().empty());
    const std::string published = session().query_value(kRows);
    EXPECT_TRUE(eventually([&] {
      return subscriber.query_value(kRows) == published;
    })) << subscriber.query_value(kRows)
        << "\n"
        << published << "\n"
        << subscriber_.log_text();
    if (filters && part.find("WHERE") != std::string::npos) {
      EXPECT_EQ(subscriber.query_value("SELECT count(*) FROM t WHERE id % 3 = "
                                       "0"),
                "0");
    }
    // Whatever could not be applied once would be tried again and again.
    EXPECT_EQ(subscriber_.log_text().find("ERROR"), std::string::npos)
        << subscriber_.log_text();
    subscriber.exec("DROP SUBSCRIPTION feed");
  }

 private:
  static std::string quoted(const std::string& text) {
    std::string result;
    for (const char c : text) {
      result += c;
      if (c == '\'') result += c;
    }
    return result;
  }

  PgCluster subscriber_;
};

TEST_F(PublicationsTest, ASubscriberFollowsATableOfTheSameShape) {
  follow_through("ALTER TABLE t SET (fillfactor = 80)", "int",
                 " (id, v) WHERE (id % 3 <> 0)");
}

TEST_F(PublicationsTest, ASubscriberWithAWideKeyFollowsAWidenedOne) {
  follow_through("ALTER TABLE t ALTER COLUMN id TYPE bigint", "bigint",
                 " (id, v)");
}

}  // namespace
}  // namespace pgrecast::test
